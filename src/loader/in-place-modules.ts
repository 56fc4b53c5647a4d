import { realpath } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { environmentFailed, RinglockError } from '../errors.ts';
import { diskFailed } from '../store/disk-error.ts';
import { type Generation, readCurrentLink } from '../store/generation.ts';
import { pinsByDirectory } from '../store/in-place-moves.ts';
import { type InPlaceState, readInPlaceState } from '../store/in-place-state.ts';
import { readModules } from './generation-modules.ts';
import type { FoundModule } from './loaded-modules.ts';

const defaultTimeoutMs = 10_000;
const lookAgainMs = 50;

/**
 * The modules of a generation in a directory where they are replaced one by one: read while nothing is
 * being replaced, and again when something was.
 *
 * @param asked the reconciler's `--modules-dir`
 * @returns undefined when `current` has moved on
 * @throws RinglockError `modules-dir-switching` when the directory is another generation's, or between
 *   two, for longer than `timeoutMs`; `modules-dir-state-damaged`, and what readModules() throws
 */
export async function readModulesInPlace(
  root: string,
  generation: Generation,
  asked: string,
  timeoutMs = defaultTimeoutMs,
): Promise<FoundModule[] | undefined> {
  const directory = await realpath(asked).catch((error) => {
    throw diskFailed(error, asked);
  });
  const until = Date.now() + timeoutMs;
  for (;;) {
    const before = await readInPlaceState(directory);
    let difference = findDifference(generation, before);
    if (difference === undefined) {
      const modules = await readModules(generation, directory).catch(asValue);
      const isUnchanged = isSame(before, await readInPlaceState(directory));
      if (isUnchanged && !(modules instanceof RinglockError)) return modules;
      if (isUnchanged) throw modules;
      difference = 'modules were replaced while it was read';
    }
    if ((await readCurrentLink(root)) !== generation.number) return undefined;
    if (Date.now() >= until) throw isSwitching(directory, generation, difference);
    await delay(lookAgainMs);
  }
}

/** Why the directory is not what a generation says, in words. */
function findDifference(generation: Generation, { modules, pending }: InPlaceState) {
  const placed = new Map([...modules].map(([directory, { sha256 }]) => [directory, sha256]));
  if (pending !== null) {
    // The moves stand once `current` shows what they lead to; a repair leads to where it began.
    const isOver = pending.to === generation.number && pending.from !== pending.to;
    if (!isOver) return `a switch to generation ${pending.to} is under way`;
    for (const { directory, after } of pending.moves) {
      if (after === null) placed.delete(directory);
      else placed.set(directory, after.sha256);
    }
  }
  for (const [directory, { alias, version, sha256 }] of pinsByDirectory(generation)) {
    if (placed.get(directory) !== sha256) return `${alias} ${version} is not in ${directory} yet`;
  }
  return undefined;
}

function isSame(a: InPlaceState, b: InPlaceState): boolean {
  return JSON.stringify([...a.modules, a.pending]) === JSON.stringify([...b.modules, b.pending]);
}

function asValue(error: unknown): RinglockError {
  if (error instanceof RinglockError) return error;
  throw error;
}

function isSwitching(directory: string, { number }: Generation, difference: string) {
  return environmentFailed(
    'modules-dir-switching',
    `${directory} is not generation ${number}: ${difference}`,
    {
      hint: 'The reconciler ends it with its next pass: is it running, with --strategy in-place and this --modules-dir? ringlock status says.',
    },
  );
}
