import { isDeepStrictEqual } from 'node:util';

/**
 * How a value merges: `value` as a whole; `set` as a list whose order says nothing; `later` as text of
 * which the greater is right (a date); a mapping by its keys, those named here and all others.
 */
export type MergeShape = 'value' | 'set' | 'later' | MappingShape;

export interface MappingShape {
  readonly keys: Readonly<Record<string, MergeShape>>;
  readonly others: MergeShape;
  /** Whether one that is not there is one without keys; else its absence is a removal. */
  readonly mayBeAbsent?: boolean;
}

/** A place where both sides changed the same thing in different ways; undefined: it is not there. */
export interface DataConflict {
  readonly path: readonly string[];
  readonly base: unknown;
  readonly ours: unknown;
  readonly theirs: unknown;
}

export interface DataMerge {
  /** Undefined: not there. A conflict has the preferred side's value, or ours. */
  readonly value: unknown;
  readonly conflicts: readonly DataConflict[];
}

export interface DataSides {
  readonly base: unknown;
  readonly ours: unknown;
  readonly theirs: unknown;
}

/**
 * Merges plain data: what one side alone changed is taken, what both changed alike is one change.
 *
 * @param preferred the side that is taken where they disagree; such a place is no conflict then
 */
export function mergeData(
  sides: DataSides,
  shape: MergeShape,
  preferred?: 'ours' | 'theirs' | 'base',
): DataMerge {
  const conflicts: DataConflict[] = [];
  const value = mergeAt(sides, shape, [], (conflict) => {
    if (preferred === undefined) conflicts.push(conflict);
    return conflict[preferred ?? 'ours'];
  });
  return { value, conflicts };
}

type OnConflict = (conflict: DataConflict) => unknown;

function mergeAt(
  { base, ours, theirs }: DataSides,
  shape: MergeShape,
  path: readonly string[],
  onConflict: OnConflict,
): unknown {
  if (isDeepStrictEqual(ours, theirs) || isDeepStrictEqual(theirs, base)) return ours;
  if (isDeepStrictEqual(ours, base)) return theirs;
  if (typeof shape === 'object') {
    const [before, mine, yours] = [base, ours, theirs].map((side) => mappingOf(side, shape));
    if (mine !== undefined && yours !== undefined) {
      const parts = { base: before ?? {}, ours: mine, theirs: yours };
      const merged = mergeMappings(parts, shape, path, onConflict);
      const isGone = ours === undefined || theirs === undefined;
      return isGone && Object.keys(merged).length === 0 ? undefined : merged;
    }
  }
  if (shape === 'set') {
    const [before, mine, yours] = [base, ours, theirs].map(listOf);
    if (before && mine && yours) return mergeSets(before, mine, yours);
  }
  if (shape === 'later' && typeof ours === 'string' && typeof theirs === 'string') {
    return ours > theirs ? ours : theirs;
  }
  return onConflict({ path, base, ours, theirs });
}

function mergeMappings(
  { base, ours, theirs }: Readonly<Record<'base' | 'ours' | 'theirs', Mapping>>,
  shape: MappingShape,
  path: readonly string[],
  onConflict: OnConflict,
): Mapping {
  const merged: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const sides = { base: own(base, key), ours: own(ours, key), theirs: own(theirs, key) };
    const inner = own(shape.keys, key) ?? shape.others;
    const value = mergeAt(sides, inner as MergeShape, [...path, key], onConflict);
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

type Mapping = Readonly<Record<string, unknown>>;

/** Null is a mapping without keys, as `tenants:` alone. */
function mappingOf(value: unknown, { mayBeAbsent }: MappingShape): Mapping | undefined {
  if (value === null || (value === undefined && mayBeAbsent === true)) return {};
  return typeof value === 'object' && !Array.isArray(value) ? (value as Mapping) : undefined;
}

function own(mapping: Mapping, key: string): unknown {
  return Object.hasOwn(mapping, key) ? mapping[key] : undefined;
}

/** A list that is not there is an empty one. */
function listOf(value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : undefined;
}

/** In our order, then what theirs added in its. */
function mergeSets(
  base: readonly unknown[],
  ours: readonly unknown[],
  theirs: readonly unknown[],
): unknown[] {
  const kept = ours.filter((item) => theirs.includes(item) || !base.includes(item));
  const added = theirs.filter((item) => !base.includes(item) && !ours.includes(item));
  return [...kept, ...added];
}

/** Whether two values mean the same: sets in any order, an empty set and none, null and an empty mapping. */
export function meansTheSame(one: unknown, other: unknown, shape: MergeShape): boolean {
  if (shape === 'set') {
    const [mine, yours] = [listOf(one), listOf(other)];
    if (!mine || !yours) return false;
    return mine.length === yours.length && mine.every((item) => yours.includes(item));
  }
  if (typeof shape !== 'object') return isDeepStrictEqual(one, other);
  const [mine, yours] = [mappingOf(one, shape), mappingOf(other, shape)];
  if (mine === undefined || yours === undefined) return one === other;
  return [...new Set([...Object.keys(mine), ...Object.keys(yours)])].every((key) =>
    meansTheSame(
      own(mine, key),
      own(yours, key),
      (own(shape.keys, key) ?? shape.others) as MergeShape,
    ),
  );
}
