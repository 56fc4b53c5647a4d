import { RinglockError } from '../errors.ts';
import { type LockEntry, parseLock, samePin } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import { type GitRepository, gitFailed, tryGit } from './git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';

/** What a lock pinned of a module: oldest first, one for each change; undefined where it had none. */
export type PinHistory = readonly (LockEntry | undefined)[];

/**
 * What a ring's lock pinned of modules on the first-parent history of a revision: what people merged, not
 * the steps on their branches. A lock that cannot be read says nothing.
 *
 * @param options.revision default HEAD; one that is not there has no history
 * @param options.newest only as many of the newest commits that touch the lock
 * @returns by alias, one for each that was asked for
 */
export async function readLockHistory(
  repository: GitRepository,
  ring: string,
  aliases: readonly string[],
  options: { readonly revision?: string; readonly newest?: number } = {},
): Promise<ReadonlyMap<string, PinHistory>> {
  const histories = new Map(aliases.map((alias) => [alias, [] as (LockEntry | undefined)[]]));
  const commits = await lockCommits(repository, ring, options);
  if (aliases.length === 0 || commits.length === 0) return histories;
  await withObjects(repository, async (objects) => {
    for (const commit of commits) {
      const modules = await modulesAt(objects, commit, ring);
      if (modules === 'unreadable') continue;
      for (const [alias, entries] of histories) {
        const [entry, last] = [modules.get(alias), entries.at(-1)];
        const isSame =
          entry === undefined || last === undefined ? entry === last : samePin(entry, last);
        if (!isSame) entries.push(entry);
      }
    }
  });
  return histories;
}

async function lockCommits(
  { topLevel }: GitRepository,
  ring: string,
  { revision = 'HEAD', newest }: { readonly revision?: string; readonly newest?: number },
): Promise<string[]> {
  const args = [
    ...['rev-list', '--first-parent', '--reverse'],
    ...(newest === undefined ? [] : [`--max-count=${newest}`]),
    ...['--end-of-options', revision, '--', lockFile(ring)],
  ];
  const outcome = await tryGit(topLevel, args);
  if (outcome.status === 0) return outcome.stdout.toString().split('\n').filter(Boolean);
  const spec = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
  if ((await tryGit(topLevel, spec)).status !== 0) return [];
  throw gitFailed(args, outcome);
}

async function modulesAt(
  objects: ObjectBatch,
  commit: string,
  ring: string,
): Promise<ReadonlyMap<string, LockEntry> | 'unreadable'> {
  try {
    const text = (await objects.readBlob(`${commit}:${lockFile(ring)}`)).toString();
    return parseLock(text, ring).modules;
  } catch (error) {
    if (isObjectMissing(error)) return new Map();
    if (error instanceof RinglockError) return 'unreadable';
    throw error;
  }
}
