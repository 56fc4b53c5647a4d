/** What the audit has of one step of a module in a ring; of all its replicas, in the order of time. */
export interface SoakEvent {
  /** The replica's root. */
  readonly root: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly action: 'install' | 'upgrade' | 'downgrade' | 'repair' | 'remove';
  readonly outcome: 'succeeded' | 'reverted';
  readonly from: string | null;
  readonly to: string | null;
  /** `sha256:<hex>` of the version after (before, for a removal). */
  readonly digest: string | null;
  /** When the first operation of this root that was found well came to its end, at or after the step. */
  readonly committedAt: number | null;
  /** Whether the root began with it, from its image: nobody has said that the ring is to run it. */
  readonly isSeed: boolean;
}

/** Bytes whose soak is asked for. */
export interface SoakingPin {
  readonly version: string;
  readonly sha256: string;
}

/** A time during which a ring ran a version, milliseconds since 1970. */
export interface Soak {
  readonly begin: number;
  /** Undefined while it goes on. */
  readonly end: number | undefined;
  readonly endedBy: 'replaced' | 'removed' | 'failed' | undefined;
}

export interface SoakHistory {
  /** Oldest first; those before a failure of the version are in it too. */
  readonly soaks: readonly Soak[];
  /** When the version last failed there and was reverted by the ring itself. */
  readonly failedAt: number | undefined;
}

/** The longest soak that counts. */
export interface CountedSoak {
  readonly ms: number;
  readonly begin: number;
  readonly isRunning: boolean;
}

/**
 * When a ring ran a version. A soak begins once an operation that a replica has it by is found well (by
 * its health gate, and the ring's quorum), or once a newer version failed and was taken back to it. It
 * ends as soon as any replica goes to something else. A replica that comes to it late, or from an empty disk,
 * neither begins nor ends one that goes on. Going back to it from another version begins one anew, and what
 * seemed to go on until then is none: the ring ran that other one, and whoever reported this one is gone.
 *
 * @param events of one module in one ring
 */
export function findSoaks(events: readonly SoakEvent[], pin: SoakingPin): SoakHistory {
  const soaks: Soak[] = [];
  let begin: number | undefined;
  let isFromSeed = false;
  let failedAt: number | undefined;
  for (const { at, kind } of momentsOf(events, pin)) {
    if (kind === 'returned' || kind === 'begun' || kind === 'seeded') {
      // One pod's image is no word on what the ring ran before others came to the version.
      const isAnew = begin === undefined || kind === 'returned' || (isFromSeed && kind === 'begun');
      if (!isAnew) continue;
      begin = at;
      isFromSeed = kind === 'seeded';
      continue;
    }
    if (kind === 'failed') failedAt = at;
    if (begin !== undefined) soaks.push({ begin, end: at, endedBy: kind });
    begin = undefined;
  }
  if (begin !== undefined) soaks.push({ begin, end: undefined, endedBy: undefined });
  return { soaks, failedAt };
}

/**
 * The longest soak since the version last failed.
 *
 * @param isPinned whether the ring pins the version now: else a soak without an end proves nothing
 */
export function longestSoak(
  { soaks, failedAt = Number.NEGATIVE_INFINITY }: SoakHistory,
  now: number,
  isPinned: boolean,
): CountedSoak | undefined {
  const counted = soaks.flatMap(({ begin, end }): CountedSoak[] => {
    if (begin < failedAt || (end === undefined && !isPinned)) return [];
    return [{ ms: Math.max(0, (end ?? now) - begin), begin, isRunning: end === undefined }];
  });
  return counted.reduce<CountedSoak | undefined>(
    (longest, soak) => (longest === undefined || soak.ms > longest.ms ? soak : longest),
    undefined,
  );
}

interface Moment {
  readonly at: number;
  readonly kind: 'begun' | 'seeded' | 'returned' | 'replaced' | 'removed' | 'failed';
}

function momentsOf(events: readonly SoakEvent[], pin: SoakingPin): Moment[] {
  const moments = events.flatMap((event, index): Moment[] => {
    const { at, committedAt, action, outcome } = event;
    if (isAt(event, pin)) {
      // A version after it failed, and the ring is back.
      if (outcome === 'reverted') return [{ at, kind: 'returned' }];
      if (action === 'repair' || committedAt === null) return [];
      if (leavesBefore(events, index, committedAt, pin)) return [];
      if (event.isSeed) return [{ at: committedAt, kind: 'seeded' }];
      return [{ at: committedAt, kind: action === 'downgrade' ? 'returned' : 'begun' }];
    }
    if (outcome === 'reverted') return isOf(event, pin) ? [{ at, kind: 'failed' }] : [];
    if (action === 'remove') return [{ at, kind: 'removed' }];
    // A pod on an empty disk begins with what its image brings along.
    if (action === 'install' && event.from === null) return [];
    return action === 'repair' ? [] : [{ at, kind: 'replaced' }];
  });
  // At one and the same moment what ends goes first.
  const isBegin = ({ kind }: Moment) => ['begun', 'seeded', 'returned'].includes(kind);
  return moments.sort((a, b) => a.at - b.at || Number(isBegin(a)) - Number(isBegin(b)));
}

/** Whether the step is to the version's own bytes. */
function isOf({ to, digest }: SoakEvent, { version, sha256 }: SoakingPin): boolean {
  return to === version && digest === sha256;
}

/** Whether the replica has the version after the event. */
function isAt(event: SoakEvent, pin: SoakingPin): boolean {
  if (event.outcome === 'reverted') return event.from === pin.version && event.to !== pin.version;
  return event.action !== 'remove' && isOf(event, pin);
}

/** Whether the replica went on, or back, before an operation found it well. */
function leavesBefore(
  events: readonly SoakEvent[],
  index: number,
  committedAt: number,
  pin: SoakingPin,
): boolean {
  const root = events[index]?.root;
  return events
    .slice(index + 1)
    .some((event) => event.root === root && event.at <= committedAt && !isAt(event, pin));
}
