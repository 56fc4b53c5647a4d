import semver from 'semver';
import { type Lock, type LockEntry, samePin } from './lock.ts';

/** A lock as two sides of a merge have it, and as it was where they parted. */
export interface LockSides {
  /** Undefined: nobody knows it. Where both sides added the file: addedByBoth. */
  readonly base: BaseLock | undefined;
  readonly ours: Lock;
  readonly theirs: Lock;
}

export interface BaseLock extends Pick<Lock, 'modules'> {
  readonly platform: string | undefined;
}

export const addedByBoth: BaseLock = { modules: new Map(), platform: undefined };

/** A module on which the sides disagree; undefined: that side does not have it. */
export interface EntryConflict {
  readonly alias: string;
  readonly base: LockEntry | undefined;
  readonly ours: LockEntry | undefined;
  readonly theirs: LockEntry | undefined;
}

/** Two versions of which the greater one may be taken if history shows that it descends from the lesser. */
export interface ContestedEntry extends EntryConflict {
  readonly greater: LockEntry;
  readonly lesser: LockEntry;
}

export interface PlatformConflict {
  readonly base: string | undefined;
  readonly ours: string;
  readonly theirs: string;
}

export interface LockMerge {
  /** What is decided; a module that is not is absent, a platform that is not is ours. */
  readonly lock: Lock;
  /** Sorted by alias, as the conflicts are. */
  readonly contested: readonly ContestedEntry[];
  readonly conflicts: readonly EntryConflict[];
  readonly platform: PlatformConflict | undefined;
}

/**
 * Merges a lock entry by entry. What one side alone changed is taken; what both changed alike is one
 * change. A pin is a version with its digest: who only says elsewhere where the bytes lie has changed
 * none, so it keeps nobody from moving or removing the module. Swapping the sides swaps the conflicts
 * and changes nothing else.
 */
export function mergeLocks(sides: LockSides): LockMerge {
  const { base, ours, theirs } = sides;
  const modules = new Map<string, LockEntry>();
  const contested: ContestedEntry[] = [];
  const conflicts: EntryConflict[] = [];
  for (const alias of aliasesOf(base, ours, theirs)) {
    const entries = {
      alias,
      base: base?.modules.get(alias),
      ours: ours.modules.get(alias),
      theirs: theirs.modules.get(alias),
    };
    const merged = mergeEntry(entries, base !== undefined);
    if (merged.kind === 'conflict') conflicts.push(entries);
    else if (merged.kind === 'contested') contested.push({ ...entries, ...merged });
    else if (merged.entry !== undefined) modules.set(alias, merged.entry);
  }
  const platform = mergePlatform(base?.platform, ours.platform, theirs.platform);
  const isOpen = platform === undefined;
  return {
    lock: { ring: ours.ring, platform: platform ?? ours.platform, modules },
    contested,
    conflicts,
    platform: isOpen
      ? { base: base?.platform, ours: ours.platform, theirs: theirs.platform }
      : undefined,
  };
}

/** A lock with more entries decided: null leaves the module out. */
export function withEntries(
  lock: Lock,
  decided: ReadonlyMap<string, LockEntry | null | undefined>,
): Lock {
  const modules = new Map(lock.modules);
  for (const [alias, entry] of decided) {
    if (entry === null || entry === undefined) modules.delete(alias);
    else modules.set(alias, entry);
  }
  return { ...lock, modules };
}

function aliasesOf(...locks: readonly (BaseLock | undefined)[]): string[] {
  return [...new Set(locks.flatMap((lock) => [...(lock?.modules.keys() ?? [])]))].sort();
}

type EntryMerge =
  | { readonly kind: 'merged'; readonly entry: LockEntry | undefined }
  | { readonly kind: 'contested'; readonly greater: LockEntry; readonly lesser: LockEntry }
  | { readonly kind: 'conflict' };

function mergeEntry(
  { base, ours, theirs }: Omit<EntryConflict, 'alias'>,
  baseIsKnown: boolean,
): EntryMerge {
  if (pinsAlike(ours, theirs)) return { kind: 'merged', entry: mergeLocators(base, ours, theirs) };
  if (baseIsKnown && pinsAlike(base, ours)) return { kind: 'merged', entry: theirs };
  if (baseIsKnown && pinsAlike(base, theirs)) return { kind: 'merged', entry: ours };
  if (ours === undefined || theirs === undefined) return { kind: 'conflict' };
  const order = semver.compare(ours.version, theirs.version);
  if (order === 0) return { kind: 'conflict' };
  const [greater, lesser] = order > 0 ? [ours, theirs] : [theirs, ours];
  // Somebody went back on purpose: a greater version may not undo that unseen.
  if (base !== undefined && semver.lt(lesser.version, base.version)) return { kind: 'conflict' };
  return { kind: 'contested', greater, lesser };
}

function pinsAlike(one: LockEntry | undefined, other: LockEntry | undefined): boolean {
  return one === undefined || other === undefined ? one === other : samePin(one, other);
}

/** Two entries of one pin: what they say about where the bytes are. */
function mergeLocators(
  base: LockEntry | undefined,
  ours: LockEntry | undefined,
  theirs: LockEntry | undefined,
): LockEntry | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const before = base !== undefined && samePin(base, ours) ? base : undefined;
  // The place as a whole: a directory of one side with a tree of the other may stand in no commit.
  const place = mergeValue(before, ours, theirs, placeOf, lesserText);
  const released = mergeValue(before, ours, theirs, releaseOf, laterRelease);
  const { source } = mergeValue(before, ours, theirs, sourceOf, lesserText);
  return { ...ours, source, ...place, ...released };
}

type Place = Pick<LockEntry, 'directory' | 'tree' | 'file_count' | 'size_bytes'>;
type Release = Pick<LockEntry, 'artifact' | 'released_at'>;

const placeOf = ({ directory, tree, file_count, size_bytes }: LockEntry): Place => ({
  ...{ directory, tree, file_count, size_bytes },
});
const releaseOf = ({ artifact, released_at }: LockEntry): Release => ({
  // In one order of fields, whatever the file's is: these are compared as text.
  artifact: artifact && {
    url: artifact.url,
    sha256: artifact.sha256,
    size_bytes: artifact.size_bytes,
  },
  released_at,
});
const sourceOf = ({ source }: LockEntry) => ({ source });

/** The value that one side alone changed; of two that both changed, the preferred one. */
function mergeValue<V>(
  base: LockEntry | undefined,
  ours: LockEntry,
  theirs: LockEntry,
  read: (entry: LockEntry) => V,
  prefer: (one: V, other: V) => V,
): V {
  const [mine, yours] = [read(ours), read(theirs)];
  const was = base === undefined ? undefined : asText(read(base));
  if (asText(mine) === asText(yours) || asText(yours) === was) return mine;
  return asText(mine) === was ? yours : prefer(mine, yours);
}

/** Either leads to the same bytes; which one is taken must only not depend on who merges whom. */
function lesserText<V>(one: V, other: V): V {
  return asText(one) < asText(other) ? one : other;
}

function laterRelease(one: Release, other: Release): Release {
  const timeOf = ({ artifact, released_at }: Release) =>
    artifact === null ? -1 : Date.parse(released_at ?? '') || 0;
  if (timeOf(one) === timeOf(other)) return lesserText(one, other);
  return timeOf(one) > timeOf(other) ? one : other;
}

function asText(value: unknown): string {
  return JSON.stringify(value);
}

/** Undefined when it cannot be told: both sides changed it, and one of them went back. */
function mergePlatform(base: string | undefined, ours: string, theirs: string): string | undefined {
  if (ours === theirs || theirs === base) return ours;
  if (ours === base) return theirs;
  const wentBack = base !== undefined && [ours, theirs].some((version) => semver.lt(version, base));
  return wentBack ? undefined : semver.gt(theirs, ours) ? theirs : ours;
}

/** Why each module that is left, and the platform, cannot be merged; sorted by alias. */
export function describeLockConflicts({ contested, conflicts, platform }: LockMerge): string[] {
  const modules = [
    ...contested.map((entry) => ({
      entry,
      why: 'and history does not show that one descends from the other',
    })),
    ...conflicts.map((entry) => ({ entry, why: whyConflicting(entry) })),
  ].sort((one, other) => (one.entry.alias < other.entry.alias ? -1 : 1));
  const lines = modules.map(
    ({ entry: { alias, ours, theirs }, why }) =>
      `${alias}: ${ours?.version ?? 'absent'} on our side, ${theirs?.version ?? 'absent'} on theirs, ${why}`,
  );
  if (platform === undefined) return lines;
  const { base, ours, theirs } = platform;
  return [
    `platform: ${ours} on our side, ${theirs} on theirs, and one went back from ${base}`,
    ...lines,
  ];
}

function whyConflicting({ base, ours, theirs }: EntryConflict): string {
  if (ours === undefined || theirs === undefined) {
    return base === undefined
      ? 'and what was before is not known'
      : `and it was ${base.version}: removed on one side, changed on the other`;
  }
  if (semver.compare(ours.version, theirs.version) === 0) {
    return `with the digests ${ours.sha256} and ${theirs.sha256}`;
  }
  return `and it was ${base?.version}: one side went back`;
}
