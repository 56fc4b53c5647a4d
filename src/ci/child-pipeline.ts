import { stringify } from 'yaml';
import { badInput } from '../errors.ts';
import { settingsFile } from '../repo/names.ts';
import type { PlannedJob } from './plan-jobs.ts';

/**
 * The jobs as a GitLab child pipeline: YAML for `trigger: include: artifact`. A pipeline without a job is
 * an error to GitLab, so that nothing to do is a job that says so.
 *
 * @param include files of the repository that have what the jobs extend
 * @throws RinglockError `job-without-script` for a job that has nothing to run
 */
export function childPipeline(jobs: readonly PlannedJob[], include: readonly string[]): string {
  const bare = jobs.filter((job) => job.run === undefined);
  if (bare.length > 0 && include.length === 0) {
    throw badInput(
      'job-without-script',
      `${settingsFile} does not say what ${bare.map(({ name }) => name).join(', ')} runs`,
      {
        hint: 'Give each a `run` below ci.jobs, or name in ci.include the file that has the hidden jobs they extend (`.<name>`).',
      },
    );
  }
  const pipeline = {
    ...(include.length > 0 && { include: include.map((local) => ({ local })) }),
    // Without this the include's own rules, made for the parent, would count.
    workflow: { rules: [{ when: 'always' }] },
    ...(jobs.length === 0 && {
      'nothing-to-do': { script: ['echo "This change fires no job."'] },
    }),
    ...Object.fromEntries(jobs.map((job) => [job.name, gitlabJob(job)])),
  };
  return stringify(pipeline, { lineWidth: 0, aliasDuplicateObjects: false });
}

function gitlabJob({ name, run, extends: parent, when }: PlannedJob): object {
  const extended = parent ?? (run === undefined ? `.${name}` : undefined);
  return {
    ...(extended !== undefined && { extends: extended }),
    ...(when === 'manual' && { when: 'manual' }),
    ...(run !== undefined && { script: run }),
  };
}
