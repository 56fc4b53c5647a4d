import { RinglockError, refused } from '../errors.ts';
import { type Lock, parseLock } from '../repo/lock.ts';
import { asCommitted, parseConflictedLock } from '../repo/lock-conflict.ts';
import { addedByBoth, describeLockConflicts, mergeLocks, withEntries } from '../repo/lock-merge.ts';
import { lockFile } from '../repo/names.ts';
import { chooseDescending } from './descending-pin.ts';
import { type GitRepository, tryGit } from './git-command.ts';

/**
 * The lock of a pinned ring out of a file with conflict markers, entry by entry as the merge driver
 * merges: of two versions the greater one when it descends from the lesser.
 *
 * @throws RinglockError `lock-conflict`, naming each module and both versions, when that cannot be shown
 */
export async function resolvePinnedLock(
  repository: GitRepository,
  ring: string,
  text: string,
): Promise<Lock> {
  const { ours, theirs } = parseConflictedLock(text, ring);
  // git keeps what it merged in the index until the conflict is resolved: base, ours, theirs.
  const [base, ourStage, theirStage] = await Promise.all(
    [1, 2, 3].map((stage) => stagedLock(repository, ring, stage)),
  );
  const merge = mergeLocks({
    base: base ?? (ourStage && theirStage && addedByBoth),
    ours: asCommitted(ours, ourStage),
    theirs: asCommitted(theirs, theirStage),
  });
  const { chosen, open } = await chooseDescending(repository, merge.contested, process.env);
  const undecided = { ...merge, contested: open };
  const lines = describeLockConflicts(undecided);
  if (lines.length > 0) {
    const file = lockFile(ring);
    throw refused('lock-conflict', `${file} cannot be merged:\n  ${lines.join('\n  ')}`, {
      hint: `Edit ${file}: keep one side's entry for each of these, then run this again.`,
      details: { modules: [...merge.conflicts, ...open].map(({ alias }) => alias).sort() },
    });
  }
  return withEntries(merge.lock, chosen);
}

async function stagedLock(
  { topLevel }: GitRepository,
  ring: string,
  stage: number,
): Promise<Lock | undefined> {
  const { status, stdout } = await tryGit(topLevel, ['show', `:${stage}:${lockFile(ring)}`]);
  if (status !== 0) return undefined;
  try {
    return parseLock(stdout.toString(), ring);
  } catch (error) {
    // What git merged of several merge bases may have markers itself.
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}
