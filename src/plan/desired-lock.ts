import { dependentsOf, type GraphModules } from '../repo/graph.ts';
import { type Lock, type LockEntry, samePin } from '../repo/lock.ts';

/** One module's part of what a set of versions changed; null when it was removed. */
export interface ModuleChange {
  readonly alias: string;
  readonly version: string | null;
  /** `sha256:<hex>`, or null. */
  readonly sha256: string | null;
}

/** A set of versions that came up sick in a ring. */
export interface FailedSet {
  readonly changes: readonly ModuleChange[];
  readonly reason: string;
  /** The lock commit that brought it. */
  readonly commit: string | null;
}

/** A module that a person keeps at a version in a ring; a null entry keeps it out. */
export interface LocalHold {
  readonly entry: LockEntry | null;
  readonly reason: string;
  readonly by: string;
  /** Whether the schema follows by all steps down, not only those marked as safe. */
  readonly withDown?: boolean;
  /** RFC 3339, UTC; absent from a hold that a version before made. */
  readonly since?: string;
  /** What undoing it brings back: by the id of the request that made it, what was held before. */
  readonly replaced?: { readonly request: string; readonly hold: LocalHold | null };
}

export interface DesiredInput {
  /** As committed. */
  readonly lock: Lock;
  /** Of the modules of that lock. */
  readonly graph: GraphModules;
  readonly tracking: boolean;
  readonly onFailure: 'hold' | 'block';
  /** By alias. */
  readonly holds: ReadonlyMap<string, LocalHold>;
  readonly failures: readonly FailedSet[];
  /** What the ring last ran well; undefined when that is unknown. */
  readonly lastGood: Lock | undefined;
}

export interface DesiredLock {
  /** What the ring is to run. */
  readonly lock: Lock;
  /** Modules that are not as committed, alias → why. */
  readonly held: ReadonlyMap<string, string>;
  /** The failed set that keeps the whole commit out, when one does. */
  readonly blocked: FailedSet | undefined;
}

/**
 * The lock that a ring is to run, which is the committed one, minus what failed, plus holds. A tracking
 * ring keeps a failed set and its dependents at their last good versions and deploys the rest; any
 * other ring stays at its last good lock until the set changes.
 */
export function desiredLock(input: DesiredInput): DesiredLock {
  // Without anything that ran well there is nothing better than what is committed.
  const { lastGood } = input;
  const failures = input.failures.filter(
    ({ changes }) =>
      lastGood !== undefined && changes.length > 0 && containsChanges(input.lock, changes),
  );
  const held = new Map<string, string>();
  const [blocked] = failures;
  const mayHold = input.tracking && input.onFailure === 'hold';
  let lock = input.lock;
  if (blocked !== undefined && !mayHold) {
    return { lock: withHolds(lastGood ?? lock, input.holds, held), held, blocked };
  }
  for (const { changes, reason } of failures) {
    for (const alias of withDependents(changes, input)) {
      held.set(alias, reason);
      lock = withEntry(lock, alias, lastGood?.modules.get(alias));
    }
  }
  return { lock: withHolds(lock, input.holds, held), held, blocked: undefined };
}

/** What one lock changes of another, sorted by alias. */
export function changesBetween(before: Lock | undefined, after: Lock): ModuleChange[] {
  const changes: ModuleChange[] = [];
  for (const [alias, { version, sha256 }] of after.modules) {
    const known = before?.modules.get(alias);
    if (known === undefined || !samePin(known, { version, sha256 })) {
      changes.push({ alias, version, sha256 });
    }
  }
  for (const alias of before?.modules.keys() ?? []) {
    if (!after.modules.has(alias)) changes.push({ alias, version: null, sha256: null });
  }
  return changes.sort((a, b) => (a.alias < b.alias ? -1 : 1));
}

/** What names a set of changes: the same text for the same set. */
export function changesKey(changes: readonly ModuleChange[]): string {
  return changes
    .map(({ alias, version, sha256 }) =>
      version === null ? `-${alias}` : `${alias}@${version} ${sha256?.slice(7, 19)}`,
    )
    .sort()
    .join(', ');
}

function containsChanges(lock: Lock, changes: readonly ModuleChange[]): boolean {
  return changes.every(({ alias, version, sha256 }) => {
    const entry = lock.modules.get(alias);
    if (version === null) return entry === undefined;
    return entry !== undefined && entry.version === version && entry.sha256 === sha256;
  });
}

/** The failed set, and of its dependents those that the commit changes. */
function withDependents(changes: readonly ModuleChange[], input: DesiredInput): Set<string> {
  const dependents = dependentsOf(input.graph);
  const set = new Set(changes.map(({ alias }) => alias));
  const queue = [...set];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const alias of dependents.get(next) ?? []) {
      if (set.has(alias) || !isChanged(alias, input)) continue;
      set.add(alias);
      queue.push(alias);
    }
  }
  return set;
}

function isChanged(alias: string, { lock, lastGood }: DesiredInput): boolean {
  const [now, before] = [lock.modules.get(alias), lastGood?.modules.get(alias)];
  return now === undefined || before === undefined || !samePin(now, before);
}

function withHolds(
  lock: Lock,
  holds: ReadonlyMap<string, LocalHold>,
  held: Map<string, string>,
): Lock {
  let result = lock;
  for (const [alias, { entry, reason }] of holds) {
    held.set(alias, reason);
    result = withEntry(result, alias, entry ?? undefined);
  }
  return result;
}

/** Modules of a lock are in the order of their aliases, also when one comes in later. */
function withEntry(lock: Lock, alias: string, entry: LockEntry | undefined): Lock {
  const modules = new Map(lock.modules);
  if (entry === undefined) modules.delete(alias);
  else modules.set(alias, entry);
  const sorted = [...modules].sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...lock, modules: new Map(sorted) };
}
