import { type LockEntry, samePin, versionDirection } from '../repo/lock.ts';
import type { GitRepository } from './git-command.ts';
import { type PinHistory, readLockHistory } from './lock-history.ts';

/**
 * What a ring's lock pinned of a module, oldest first, one for each change, on the first-parent history
 * of HEAD: what people merged, not the steps on their branches. Undefined where the lock had none.
 */
export async function readRingVersions(
  repository: GitRepository,
  ring: string,
  alias: string,
): Promise<PinHistory> {
  return (await readLockHistory(repository, ring, [alias])).get(alias) ?? [];
}

/**
 * What a version replaced when it last came as something newer. Going back to it does not count as its
 * coming, so that rolling back twice goes two back.
 */
export function versionBefore(history: PinHistory, present: LockEntry): LockEntry | undefined {
  for (let index = history.length - 1; index > 0; index--) {
    const [before, entry] = [history[index - 1], history[index]];
    if (entry === undefined || before === undefined || !samePin(entry, present)) continue;
    if (versionDirection(before.version, entry.version) === 'up') return before;
  }
  return undefined;
}
