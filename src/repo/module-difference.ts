import semver from 'semver';
import { changelogSection, changelogVersions } from './changelog.ts';
import type { ModuleManifest } from './module-manifest.ts';

/** One side of a comparison: a module's version, with what git has of it. */
export interface ComparedModule {
  readonly version: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  readonly manifest: ModuleManifest;
  /** Undefined where it has none. */
  readonly changelog: string | undefined;
  /** Path in the module → blob id and bytes; those that are installed. */
  readonly files: ReadonlyMap<string, { readonly oid: string; readonly size: number }>;
}

export interface FileDifference {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Bytes; null where it is not there. */
  readonly from: number | null;
  readonly to: number | null;
}

/** What is in two versions of one thing; null where one has it not. */
export interface ValueDifference {
  readonly name: string;
  readonly from: string | null;
  readonly to: string | null;
}

export interface ModuleDifference {
  readonly alias: string;
  /** Null for a module that comes or goes. */
  readonly from: string | null;
  readonly to: string | null;
  readonly files: readonly FileDifference[];
  /** Sections that come, or on a way back those that go; newest first. */
  readonly changelog: readonly { readonly version: string; readonly text: string }[];
  readonly migrations: {
    /** Steps up that would run, in order. */
    readonly up: readonly string[];
    /** Steps that only the version before has, last first; they run when marked safe, or by a person. */
    readonly down: readonly { readonly name: string; readonly has_down: boolean }[];
    /** Applied migrations with other bytes: an error where they have run. */
    readonly edited: readonly string[];
  };
  readonly dependencies: readonly ValueDifference[];
  readonly platform: ValueDifference | null;
}

/** What changes from one version of a module to another. */
export function moduleDifference(
  alias: string,
  from: ComparedModule | undefined,
  to: ComparedModule | undefined,
): ModuleDifference {
  const range = (side: ComparedModule | undefined) => side?.manifest.platformRange ?? null;
  const platform = { name: 'platform', from: range(from), to: range(to) };
  return {
    alias,
    from: from?.version ?? null,
    to: to?.version ?? null,
    files: fileDifferences(from, to),
    changelog: changelogBetween(from, to),
    migrations: migrationsBetween(from, to),
    dependencies: valueDifferences(
      from?.manifest.dependencies ?? new Map(),
      to?.manifest.dependencies ?? new Map(),
    ),
    platform: platform.from === platform.to ? null : platform,
  };
}

function valueDifferences(
  from: ReadonlyMap<string, string>,
  to: ReadonlyMap<string, string>,
): ValueDifference[] {
  return [...new Set([...from.keys(), ...to.keys()])].sort().flatMap((name) => {
    const value = { name, from: from.get(name) ?? null, to: to.get(name) ?? null };
    return value.from === value.to ? [] : [value];
  });
}

function fileDifferences(
  from: ComparedModule | undefined,
  to: ComparedModule | undefined,
): FileDifference[] {
  const paths = new Set([...(from?.files.keys() ?? []), ...(to?.files.keys() ?? [])]);
  return [...paths].sort().flatMap((path): FileDifference[] => {
    const [before, after] = [from?.files.get(path), to?.files.get(path)];
    if (before?.oid === after?.oid) return [];
    const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
    return [{ path, change, from: before?.size ?? null, to: after?.size ?? null }];
  });
}

function changelogBetween(from: ComparedModule | undefined, to: ComparedModule | undefined) {
  const isBack = from !== undefined && (to === undefined || semver.lt(to.version, from.version));
  const [low, high] = isBack ? [to, from] : [from, to];
  const { changelog } = high ?? {};
  if (high === undefined || changelog === undefined) return [];
  const between = changelogVersions(changelog).filter(
    (version) =>
      semver.valid(version) !== null &&
      semver.lte(version, high.version) &&
      (low === undefined || semver.gt(version, low.version)),
  );
  return between
    .sort(semver.rcompare)
    .map((version) => ({ version, text: changelogSection(changelog, version) ?? '' }));
}

function migrationsBetween(from: ComparedModule | undefined, to: ComparedModule | undefined) {
  const [before, after] = [migrationsOf(from), migrationsOf(to)];
  const names = (of: ReadonlyMap<string, unknown>) => [...of.keys()].sort();
  return {
    up: names(after).filter((name) => !before.has(name)),
    down: names(before)
      .filter((name) => !after.has(name))
      .reverse()
      .map((name) => ({ name, has_down: before.get(name)?.hasDown ?? false })),
    edited: names(after).filter(
      (name) => before.has(name) && before.get(name)?.oid !== after.get(name)?.oid,
    ),
  };
}

function migrationsOf(
  side: ComparedModule | undefined,
): Map<string, { readonly oid: string; readonly hasDown: boolean }> {
  const found = new Map<string, { oid: string; hasDown: boolean }>();
  const folder = `${side?.manifest.migrations.replace(/\/+$/, '')}/`;
  for (const [path, { oid }] of side?.files ?? []) {
    if (!path.startsWith(folder)) continue;
    const name = /^(\d{4}_[A-Za-z0-9][A-Za-z0-9_-]*)\.up\.sql$/.exec(
      path.slice(folder.length),
    )?.[1];
    if (name === undefined) continue;
    const hasDown = side?.files.has(`${folder}${name}.down.sql`) ?? false;
    found.set(name, { oid, hasDown });
  }
  return found;
}
