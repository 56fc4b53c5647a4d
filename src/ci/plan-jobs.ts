import picomatch from 'picomatch';
import { withinTime } from '../digest/time-limit.ts';
import { badInput } from '../errors.ts';
import type { CiEvent, CiJob } from '../repo/ci-settings.ts';
import { settingsFile } from '../repo/names.ts';

/** A job that a change fires. */
export interface PlannedJob extends CiJob {
  /** The changed files that fire it; empty for a job that every change fires. */
  readonly because: readonly string[];
}

/** Globs come with the change: none may keep a runner busy. */
const matchingMs = 10_000;

/**
 * The jobs that a change fires, in the table's order.
 *
 * @param changed paths from the repository's top, deleted ones too
 * @param event undefined: wherever the change goes; jobs that fire at an event whatever changed are then
 *   left out
 * @throws RinglockError `slow-glob`
 */
export function planJobs(
  jobs: readonly CiJob[],
  changed: readonly string[],
  event: CiEvent | undefined,
): PlannedJob[] {
  const planned = withinTime(matchingMs, () =>
    jobs.flatMap((job): PlannedJob[] => {
      if (event !== undefined && !job.events.includes(event)) return [];
      if (job.paths === undefined) return event === undefined ? [] : [{ ...job, because: [] }];
      const because = changed.filter(matcher(job.paths, job.except));
      return because.length === 0 ? [] : [{ ...job, because }];
    }),
  );
  if (planned !== undefined) return planned;
  throw badInput('slow-glob', `${settingsFile}: matching the globs of ci.jobs takes too long`, {
    hint: 'Write simpler globs: one * in each part of a path.',
  });
}

function matcher(paths: readonly string[], except: readonly string[]): (path: string) => boolean {
  const isWanted = picomatch([...paths], { dot: true });
  if (except.length === 0) return (path) => isWanted(path);
  const isExcepted = picomatch([...except], { dot: true });
  return (path) => isWanted(path) && !isExcepted(path);
}
