import { RinglockError } from '../../errors.ts';
import { formatConflictedLock } from '../../repo/conflicted-lock-text.ts';
import { formatLock, type Lock, parseLock } from '../../repo/lock.ts';
import {
  addedByBoth,
  describeLockConflicts,
  type EntryConflict,
  type LockMerge,
  mergeLocks,
  withEntries,
} from '../../repo/lock-merge.ts';
import { chooseDescending } from '../descending-pin.ts';
import type { GitRepository } from '../git-command.ts';
import type { ConflictChoice, FileMerge, MergedTexts } from './file-merge.ts';

/**
 * Merges a lock by its entries.
 *
 * @param conclude what to do where neither side can be taken; asked only then
 * @returns undefined for what only text merges can: a lock that cannot be read, or of the reference system
 */
export async function mergeLockFile(
  repository: GitRepository,
  ring: string,
  texts: MergedTexts,
  environment: NodeJS.ProcessEnv,
  conclude: () => Promise<ConflictChoice>,
): Promise<FileMerge | undefined> {
  const sides = readSides(ring, texts);
  if (sides === undefined) return undefined;
  const merge = mergeLocks(sides);
  const { chosen, open } = await chooseDescending(repository, merge.contested, environment);
  const rest: LockMerge = { ...merge, lock: withEntries(merge.lock, chosen), contested: open };
  const conflicts = describeLockConflicts(rest);
  if (conflicts.length === 0) return { text: formatLock(rest.lock), conflicts };
  const choice = await conclude();
  if (typeof choice === 'string')
    return { text: formatLock(withSide(rest, choice)), conflicts: [] };
  const [ours, base, theirs] = (['ours', 'base', 'theirs'] as const).map((side) =>
    withSide(rest, side),
  ) as [Lock, Lock, Lock];
  return { text: formatConflictedLock({ ours, base, theirs }, choice), conflicts };
}

/** The lock with one side's entry wherever it is open. */
function withSide(
  { lock, contested, conflicts, platform }: LockMerge,
  side: 'ours' | 'base' | 'theirs',
): Lock {
  const entries = [...contested, ...conflicts].map(
    (conflict: EntryConflict) => [conflict.alias, conflict[side]] as const,
  );
  const merged = withEntries(lock, new Map(entries));
  return { ...merged, platform: platform?.[side] ?? merged.platform };
}

function readSides(ring: string, { base, ours, theirs }: MergedTexts) {
  const known = [ours, theirs, ...(base === '' ? [] : [base])];
  // A text without it is the reference system's lock: what it is written with is not for us to change.
  if (!known.every((text) => /"lock_version"\s*:/.test(text))) return undefined;
  try {
    return {
      base: base === '' ? addedByBoth : parseLock(base, ring),
      ours: parseLock(ours, ring),
      theirs: parseLock(theirs, ring),
    };
  } catch (error) {
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}
