import { RinglockError, refused } from '../errors.ts';
import type { GraphModule, GraphModules } from './graph.ts';
import { type Lock, type LockEntry, samePin, versionDirection } from './lock.ts';
import { withLockEntry } from './lock-edit.ts';
import { lockFile, ringFile } from './names.ts';
import { refuseNewIncompatibilities } from './pin-change.ts';
import type { Ring } from './ring.ts';

export interface PromotionInput {
  readonly alias: string;
  readonly from: Lock;
  readonly to: Lock;
  /** The target's lock as it stands. */
  readonly toText: string;
  readonly toRing: Ring;
  /** The source's entry as its pinned tree has it, or why the tree does not bear the entry out. */
  readonly promoted: GraphModule | RinglockError;
  /** The target's other modules, as far as their trees could be read. */
  readonly targetGraph: GraphModules;
}

/** What a promotion makes of the target's lock. */
export interface Promotion {
  /** What the target had; undefined when the module is new there. */
  readonly before: LockEntry | undefined;
  readonly after: LockEntry;
  /** False when the target pins these bytes already. */
  readonly changed: boolean;
  /** The lock's new text; every byte outside the module's entry is as it was. */
  readonly text: string;
}

/**
 * Decides a promotion of one module from a ring to the ring that promotes from it.
 *
 * @throws RinglockError `not-promotable`, `unknown-module`, `held`, `released-bytes`, `backwards`,
 *   `incompatible-lock`, or what `promoted` says
 */
export function promote(input: PromotionInput): Promotion {
  const { alias, from, to, toText } = input;
  refuseWrongChain(input);
  const after = from.modules.get(alias);
  if (after === undefined) {
    throw refused(
      'unknown-module',
      `${lockFile(from.ring)} has no module ${JSON.stringify(alias)}`,
      {
        hint: `Modules there: ${[...from.modules.keys()].join(', ') || 'none'}.`,
      },
    );
  }
  const before = to.modules.get(alias);
  if (before !== undefined && samePin(before, after)) {
    return { before, after, changed: false, text: toText };
  }
  refuseHeld(input, after);
  if (before !== undefined) refuseBackwards(input, before, after);
  if (input.promoted instanceof RinglockError) throw input.promoted;
  refuseIncompatible(input, input.promoted);
  return { before, after, changed: true, text: withLockEntry(toText, alias, after) };
}

function refuseWrongChain({ from, to, toRing }: PromotionInput): void {
  if (toRing.tracking) {
    throw refused(
      'not-promotable',
      `${ringFile(to.ring)} tracks modules: its lock follows each commit, nothing is promoted to it`,
      { hint: `Commit the module's change on ${toRing.branch} instead.` },
    );
  }
  if (toRing.promotesFrom === from.ring) return;
  const expected = toRing.promotesFrom ?? 'no ring';
  throw refused(
    'not-promotable',
    `${ringFile(to.ring)} promotes from ${expected}, not from ${from.ring}`,
    {
      hint:
        toRing.promotesFrom === undefined
          ? `Name the ring before it as promotesFrom in ${ringFile(to.ring)}.`
          : `Promote to ${toRing.promotesFrom} first, then from there.`,
    },
  );
}

function refuseHeld({ alias, to, toRing }: PromotionInput, after: LockEntry): void {
  const hold = toRing.holds.get(alias);
  if (hold === undefined || hold.version === after.version) return;
  throw refused(
    'held',
    `${alias} is held at ${hold.version} in ${to.ring} (${hold.reason}), so ${after.version} is not promoted`,
    { hint: `End the hold first: ringlock unhold ${alias} --ring ${to.ring}` },
  );
}

function refuseBackwards(
  { alias, from, to }: PromotionInput,
  before: LockEntry,
  after: LockEntry,
): void {
  const direction = versionDirection(before.version, after.version);
  if (direction === 'up') return;
  if (direction === 'same') {
    throw refused(
      'released-bytes',
      `${alias} ${after.version} of ${from.ring} has the digest ${after.sha256}, ${to.ring} has ${before.sha256} under the same version`,
      { hint: `Give the newer bytes a version of their own: ringlock bump ${alias} patch` },
    );
  }
  throw refused(
    'backwards',
    `${alias} is at ${before.version} in ${to.ring}, promoting ${after.version} from ${from.ring} would move it backwards`,
    {
      hint: `To go back on purpose: ringlock rollback ${alias} --to ${after.version} --ring ${to.ring}`,
    },
  );
}

function refuseIncompatible(
  { alias, to, targetGraph }: PromotionInput,
  promoted: GraphModule,
): void {
  refuseNewIncompatibilities(
    to,
    targetGraph,
    new Map([[alias, promoted]]),
    'Promote what it needs first, or move the ring’s platform.',
  );
}
