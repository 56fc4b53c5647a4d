import { formatLock, type Lock, type LockEntry, parseLock, samePin } from '../repo/lock.ts';

/** The texts of a ring's lock; undefined where a side has none. */
export interface LockSides {
  readonly base: string | undefined;
  readonly change: string | undefined;
  readonly target: string | undefined;
}

/**
 * A ring's lock as a merge of a change onto its target will make it, entry by entry: what the change did
 * not touch is the target's.
 *
 * @returns undefined for none
 * @throws what parseLock() throws
 */
export function mergedLock(ring: string, { base, change, target }: LockSides): string | undefined {
  if (base === change) return target;
  if (base === undefined || change === undefined || target === undefined) return change;
  const [was, is, there] = [base, change, target].map((text) => parseLock(text, ring));
  if (was === undefined || is === undefined || there === undefined) return change;
  const platform = was.platform === is.platform ? there.platform : is.platform;
  return formatLock({ ring, platform, modules: mergedEntries(was, is, there) });
}

function mergedEntries(was: Lock, is: Lock, there: Lock): Map<string, LockEntry> {
  const merged = new Map<string, LockEntry>();
  for (const alias of new Set([...is.modules.keys(), ...there.modules.keys()])) {
    const [before, ours] = [was.modules.get(alias), is.modules.get(alias)];
    const isKept =
      before === undefined || ours === undefined ? before === ours : samePin(before, ours);
    const entry = isKept ? there.modules.get(alias) : ours;
    if (entry !== undefined) merged.set(alias, entry);
  }
  return new Map([...merged].sort(([a], [b]) => (a < b ? -1 : 1)));
}
