import { RinglockError } from '../errors.ts';
import { type LockEntry, parseLock, samePin, versionDirection } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';

/**
 * What a ring's lock pinned of a module, oldest first, one for each change, on the first-parent history
 * of HEAD: what people merged, not the steps on their branches. Undefined where the lock had none.
 */
export async function readRingVersions(
  repository: GitRepository,
  ring: string,
  alias: string,
): Promise<(LockEntry | undefined)[]> {
  const { topLevel } = repository;
  const head = await tryGit(topLevel, ['rev-parse', '--verify', '--quiet', 'HEAD']);
  if (head.status !== 0) return [];
  const file = lockFile(ring);
  const listed = await runGit(topLevel, [
    'rev-list',
    '--first-parent',
    '--reverse',
    'HEAD',
    '--',
    file,
  ]);
  const commits = listed.split('\n').filter(Boolean);
  return withObjects(repository, async (objects) => {
    const entries: (LockEntry | undefined)[] = [];
    for (const commit of commits) {
      const entry = await entryAt(objects, commit, ring, alias);
      if (entry === 'unreadable') continue;
      const last = entries.at(-1);
      const isSame =
        entry === undefined || last === undefined ? entry === last : samePin(entry, last);
      if (!isSame) entries.push(entry);
    }
    return entries;
  });
}

/**
 * What a version replaced when it last came as something newer. Going back to it does not count as its
 * coming, so that rolling back twice goes two back.
 */
export function versionBefore(
  history: readonly (LockEntry | undefined)[],
  present: LockEntry,
): LockEntry | undefined {
  for (let index = history.length - 1; index > 0; index--) {
    const [before, entry] = [history[index - 1], history[index]];
    if (entry === undefined || before === undefined || !samePin(entry, present)) continue;
    if (versionDirection(before.version, entry.version) === 'up') return before;
  }
  return undefined;
}

async function entryAt(
  objects: ObjectBatch,
  commit: string,
  ring: string,
  alias: string,
): Promise<LockEntry | undefined | 'unreadable'> {
  try {
    const text = (await objects.readBlob(`${commit}:${lockFile(ring)}`)).toString();
    return parseLock(text, ring).modules.get(alias);
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    if (error instanceof RinglockError) return 'unreadable';
    throw error;
  }
}
