import { createVersionDirection, type Lock, type LockEntry, samePin } from './lock.ts';
import type { Ring } from './ring.ts';

/** What a ring's lock pinned of a module: oldest first; undefined where it had none. */
type PinHistory = readonly (LockEntry | undefined)[];

export interface TrainInput {
  readonly from: Lock;
  readonly to: Lock;
  readonly toRing: Ring;
  /** By alias. */
  readonly fromHistory: ReadonlyMap<string, PinHistory>;
  readonly toHistory: ReadonlyMap<string, PinHistory>;
}

/** A module's versions that may be promoted without a person, the greatest first. */
export interface TrainCandidates {
  readonly alias: string;
  readonly entries: readonly LockEntry[];
}

/** A version that a person has to decide about. */
export interface BarredVersion {
  readonly alias: string;
  readonly version: string;
  readonly reason: string;
}

/** Older versions than these have had their time. */
const mostCandidates = 5;

/**
 * Which versions may go from a ring to the next without a person: what the source has, and what it had
 * since, up to what it has now, since a version that it went back from is not wanted any more. What the target
 * had and went back from, holds or removed is for a person to bring.
 */
export function trainCandidates(input: TrainInput): {
  readonly candidates: readonly TrainCandidates[];
  readonly barred: readonly BarredVersion[];
} {
  const candidates: TrainCandidates[] = [];
  const barred: BarredVersion[] = [];
  for (const [alias, present] of input.from.modules) {
    const there = input.to.modules.get(alias);
    if (there !== undefined && samePin(there, present)) continue;
    const entries: LockEntry[] = [];
    for (const entry of offered(input, alias, present, there)) {
      const reason = reasonAgainst(input, alias, entry, there);
      if (reason === undefined) entries.push(entry);
      else barred.push({ alias, version: entry.version, reason });
    }
    if (entries.length > 0) candidates.push({ alias, entries: entries.slice(0, mostCandidates) });
  }
  return { candidates, barred };
}

/** Aliases whose histories are needed. */
export function differingAliases(from: Lock, to: Lock): string[] {
  return [...from.modules].flatMap(([alias, entry]) => {
    const there = to.modules.get(alias);
    return there !== undefined && samePin(there, entry) ? [] : [alias];
  });
}

function offered(
  { fromHistory }: TrainInput,
  alias: string,
  present: LockEntry,
  there: LockEntry | undefined,
): LockEntry[] {
  // What is new there has nothing older to be an improvement on.
  if (there === undefined) return [present];
  const direction = createVersionDirection();
  const found: LockEntry[] = [];
  for (const entry of [present, ...[...(fromHistory.get(alias) ?? [])].reverse()]) {
    if (entry === undefined || found.some((one) => one.version === entry.version)) continue;
    const isUp = direction(there.version, entry.version) === 'up';
    if (isUp && direction(present.version, entry.version) !== 'up') found.push(entry);
  }
  return found.sort((a, b) => (direction(a.version, b.version) === 'up' ? 1 : -1));
}

function reasonAgainst(
  { to, toRing, toHistory }: TrainInput,
  alias: string,
  entry: LockEntry,
  there: LockEntry | undefined,
): string | undefined {
  const hold = toRing.holds.get(alias);
  if (hold !== undefined && hold.version !== entry.version) {
    return `${to.ring} holds it at ${hold.version}: ${hold.reason}`;
  }
  const had = (toHistory.get(alias) ?? []).flatMap((one) => one ?? []);
  if (there === undefined && had.length > 0) return `${to.ring} had it, and removed it`;
  const went = had.some((one) => samePin(one, entry));
  return went ? `${to.ring} had it, and went back` : undefined;
}
