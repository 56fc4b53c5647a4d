import { RinglockError, refused } from '../errors.ts';
import { dependencyOrder, type GraphModule, type GraphModules } from './graph.ts';
import { type Lock, type LockEntry, samePin, versionDirection } from './lock.ts';
import { withLockPlatform } from './lock-edit.ts';
import { lockFile, ringFile } from './names.ts';
import { type NewPin, refuseHeldPins, refuseNewIncompatibilities, withPins } from './pin-change.ts';
import { satisfies } from './platform.ts';
import type { Ring } from './ring.ts';

/** An entry that is to be promoted. */
export interface WantedPin {
  readonly alias: string;
  /** The source's, of now or of before. */
  readonly entry: LockEntry;
  /** As its pinned tree has it, or why the tree does not bear the entry out. */
  readonly module: GraphModule | RinglockError;
}

export interface PromotionInput {
  readonly from: Lock;
  readonly to: Lock;
  /** The target's lock as it stands. */
  readonly toText: string;
  readonly toRing: Ring;
  readonly wanted: readonly WantedPin[];
  /** Whether all of the source is wanted: what the target holds, or has newer, is left out then. */
  readonly isAll: boolean;
  readonly allowDowngrade: boolean;
  /** Whether the target's platform becomes the source's. */
  readonly movePlatform: boolean;
  /** The target's modules, as far as their trees could be read. */
  readonly targetGraph: GraphModules;
}

export interface PromotedPin {
  readonly alias: string;
  /** What the target had; undefined when the module is new there. */
  readonly before: LockEntry | undefined;
  readonly after: LockEntry;
}

/** What a promotion makes of the target's lock. */
export interface Promotion {
  /** Dependencies first; empty when the target pins these bytes already. */
  readonly changes: readonly PromotedPin[];
  /** What was wanted and is there already. */
  readonly unchanged: readonly { readonly alias: string; readonly version: string }[];
  /** Of all that differs, what stays as it is, and why. */
  readonly skipped: readonly { readonly alias: string; readonly reason: string }[];
  /** Undefined when it stays. */
  readonly platform: { readonly from: string; readonly to: string } | undefined;
  /** The lock's new text; every byte outside what changes is as it was. */
  readonly text: string;
}

/**
 * Decides a promotion from a ring to the ring that promotes from it. Several modules are one change: what
 * they need of each other, they have.
 *
 * @throws RinglockError `not-promotable`, `held`, `released-bytes`, `backwards`, `incompatible-lock`, or
 *   what a module says
 */
export function planPromotion(input: PromotionInput): Promotion {
  const { from, to, toText, toRing, wanted, movePlatform } = input;
  refuseWrongChain(from.ring, toRing);
  const pins: NewPin[] = [];
  const skipped: { alias: string; reason: string }[] = [];
  const unchanged: { alias: string; version: string }[] = [];
  for (const pin of wanted) {
    const before = to.modules.get(pin.alias);
    if (before !== undefined && samePin(before, pin.entry)) {
      unchanged.push({ alias: pin.alias, version: before.version });
      continue;
    }
    const reason = input.isAll ? reasonToStay(input, pin) : undefined;
    if (reason === undefined) pins.push(provenPin(input, pin));
    else skipped.push({ alias: pin.alias, reason });
  }
  const platform =
    movePlatform && from.platform !== to.platform
      ? { from: to.platform, to: from.platform }
      : undefined;
  refuseIncompatible(input, pins, platform?.to);
  const text = withPins(toText, pins);
  return {
    changes: inOrder(pins, to),
    unchanged,
    skipped,
    platform,
    text: platform === undefined ? text : withLockPlatform(text, platform.to),
  };
}

/**
 * What promoted modules need of the source besides: dependencies that the target lacks, or has in a version
 * that does not fit, where the source has one that does.
 */
export function neededFromSource(
  promoted: GraphModules,
  target: GraphModules,
  source: Lock,
): string[] {
  const needed = new Set<string>();
  for (const { dependencies } of promoted.values()) {
    for (const [alias, range] of dependencies) {
      const there = promoted.get(alias) ?? target.get(alias);
      if (there !== undefined && satisfies(there.version, range)) continue;
      const offered = source.modules.get(alias)?.version;
      if (offered === undefined || promoted.has(alias) || !satisfies(offered, range)) continue;
      if (there === undefined || versionDirection(there.version, offered) === 'up') {
        needed.add(alias);
      }
    }
  }
  return [...needed].sort();
}

/** @throws RinglockError `not-promotable` when nothing goes from the one ring to the other */
export function refuseWrongChain(from: string, toRing: Ring): void {
  const { name } = toRing;
  if (toRing.tracking) {
    throw refused(
      'not-promotable',
      `${ringFile(name)} tracks modules: its lock follows each commit, nothing is promoted to it`,
      { hint: `Commit the module's change on ${toRing.branch} instead.` },
    );
  }
  if (toRing.promotesFrom === from) return;
  const expected = toRing.promotesFrom ?? 'no ring';
  throw refused('not-promotable', `${ringFile(name)} promotes from ${expected}, not from ${from}`, {
    hint:
      toRing.promotesFrom === undefined
        ? `Name the ring before it as promotesFrom in ${ringFile(name)}.`
        : `Promote to ${toRing.promotesFrom} first, then from there.`,
  });
}

/** @throws RinglockError `unknown-module`, naming those there are */
export function requireEntry(lock: Lock, alias: string): LockEntry {
  const entry = lock.modules.get(alias);
  if (entry !== undefined) return entry;
  throw refused('unknown-module', `${lockFile(lock.ring)} has no module ${JSON.stringify(alias)}`, {
    hint: `Modules there: ${[...lock.modules.keys()].join(', ') || 'none'}.`,
  });
}

function reasonToStay(
  { to, toRing, allowDowngrade }: PromotionInput,
  { alias, entry }: WantedPin,
): string | undefined {
  const hold = toRing.holds.get(alias);
  if (hold !== undefined && hold.version !== entry.version) {
    return `it is held at ${hold.version} (${hold.reason})`;
  }
  const before = to.modules.get(alias);
  if (before === undefined || allowDowngrade) return undefined;
  const isLower = versionDirection(before.version, entry.version) === 'down';
  return isLower ? `${to.ring} has ${before.version}, which is greater` : undefined;
}

function provenPin(input: PromotionInput, { alias, entry, module }: WantedPin): NewPin {
  const before = input.to.modules.get(alias);
  // A tree that is not what its entry says is named after the rules that need no look into it.
  const known = module instanceof RinglockError ? nothingKnown(entry.version) : module;
  refuseHeldPins(input.toRing, [{ alias, entry, module: known }]);
  if (before !== undefined) refuseBackwards(input, alias, before, entry);
  if (module instanceof RinglockError) throw module;
  return { alias, entry, module };
}

function nothingKnown(version: string): GraphModule {
  return { version, platformRange: undefined, dependencies: new Map() };
}

function refuseBackwards(
  { from, to, allowDowngrade }: PromotionInput,
  alias: string,
  before: LockEntry,
  after: LockEntry,
): void {
  const direction = versionDirection(before.version, after.version);
  if (direction === 'up' || (direction === 'down' && allowDowngrade)) return;
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
      hint: `To go back on purpose: --allow-downgrade, or ringlock rollback ${alias} --to ${after.version} --ring ${to.ring}`,
    },
  );
}

function refuseIncompatible(
  { to, targetGraph }: PromotionInput,
  pins: readonly NewPin[],
  platform: string | undefined,
): void {
  if (pins.length === 0 && platform === undefined) return;
  refuseNewIncompatibilities(
    to,
    targetGraph,
    new Map(pins.map(({ alias, module }) => [alias, module])),
    'Promote what it needs with it (--with-dependencies), or the platform (--platform).',
    platform,
  );
}

function inOrder(pins: readonly NewPin[], to: Lock): PromotedPin[] {
  const order = dependencyOrder(new Map(pins.map(({ alias, module }) => [alias, module])));
  return order.flatMap((alias) => {
    const pin = pins.find((one) => one.alias === alias);
    return pin ? [{ alias, before: to.modules.get(alias), after: pin.entry }] : [];
  });
}
