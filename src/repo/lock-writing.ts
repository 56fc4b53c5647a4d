import { refused } from '../errors.ts';
import type { Lock, LockEntry } from './lock.ts';
import { formatLock, samePin } from './lock.ts';
import { type ModuleManifest, sourceOfRepository } from './module-manifest.ts';
import { lockFile, ringFile } from './names.ts';
import type { Hold, Ring } from './ring.ts';

/** What a lock entry is made of. */
export interface LockableModule {
  readonly alias: string;
  /** As in the lock: `Orders`, `themes/Dark`. */
  readonly directory: string;
  readonly manifest: ModuleManifest;
  /** Git tree object id. */
  readonly tree: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  readonly fileCount: number;
  readonly sizeBytes: number;
}

export interface LockWriting {
  readonly ring: Pick<Ring, 'name' | 'holds'>;
  readonly platform: string;
  readonly modules: ReadonlyMap<string, LockableModule>;
  /** The lock as it is; undefined when there is none yet. */
  readonly existing: Lock | undefined;
}

/**
 * The lock of a ring that follows `modules/`: every module, but held ones as they were; `artifact`
 * and `released_at` stay while version and digest do.
 *
 * @throws RinglockError `hold-mismatch` when a hold's version is not what the lock has
 */
export function lockFromModules({ ring, platform, modules, existing }: LockWriting): Lock {
  const entries = new Map<string, LockEntry>();
  for (const [alias, module] of modules) entries.set(alias, lockEntryOf(module, existing));
  for (const [alias, hold] of ring.holds) {
    entries.set(alias, heldEntry(ring.name, alias, hold, entries, existing));
  }
  return { ring: ring.name, platform, modules: entries };
}

/** The lock with only one module's entry brought up to date, or taken out when the module is gone. */
export function lockWithModule(writing: LockWriting, alias: string): Lock {
  const { ring, platform, existing } = writing;
  const wanted = lockFromModules(writing).modules.get(alias);
  const entries = new Map(existing?.modules);
  if (wanted === undefined) entries.delete(alias);
  else entries.set(alias, wanted);
  return { ring: ring.name, platform: existing?.platform ?? platform, modules: entries };
}

/** A module's entry; `artifact` and `released_at` are those of the same pin in an existing lock. */
export function lockEntryOf(module: LockableModule, existing: Lock | undefined): LockEntry {
  const { version, repository } = module.manifest;
  const pin = { version, sha256: module.sha256 };
  const before = existing?.modules.get(module.alias);
  const kept = before !== undefined && samePin(before, pin) ? before : undefined;
  return {
    version,
    directory: module.directory,
    source: sourceOfRepository(repository),
    tree: module.tree,
    artifact: kept?.artifact ?? null,
    sha256: module.sha256,
    file_count: module.fileCount,
    size_bytes: module.sizeBytes,
    released_at: kept?.released_at ?? null,
  };
}

function heldEntry(
  ring: string,
  alias: string,
  hold: Hold,
  fresh: ReadonlyMap<string, LockEntry>,
  existing: Lock | undefined,
): LockEntry {
  const before = existing?.modules.get(alias);
  if (before?.version === hold.version) return before;
  const now = fresh.get(alias);
  if (before === undefined && now?.version === hold.version) return now;
  throw refused(
    'hold-mismatch',
    `${ringFile(ring)} holds ${alias} at ${hold.version}, ${lockFile(ring)} has ${before?.version ?? 'no entry for it'}, expected the same version`,
    {
      hint: `Bring the entry of ${hold.version} back into the lock (git log -p ${lockFile(ring)}), or end the hold: ringlock unhold ${alias} --ring ${ring}.`,
    },
  );
}

export type LockDifferenceKind =
  | 'missing-lock'
  | 'conflict'
  | 'platform'
  | 'missing'
  | 'extra'
  | 'version'
  | 'digest'
  | 'locator'
  | 'format';

/** One thing in which a lock is not what it should be. */
export interface LockDifference {
  readonly kind: LockDifferenceKind;
  readonly alias: string | undefined;
  /** What the lock has, where it is one value. */
  readonly found: string | undefined;
  readonly expected: string | undefined;
  readonly message: string;
}

/**
 * Where a committed lock differs from what `lock` would write; `artifact` and `released_at` do not count.
 *
 * @param existing the lock as it is, with the text it was read from
 */
export function findLockDifferences(
  expected: Lock,
  existing: { readonly lock: Lock; readonly text: string } | undefined,
): LockDifference[] {
  const file = lockFile(expected.ring);
  if (existing === undefined) {
    return [difference('missing-lock', undefined, undefined, undefined, `${file} is missing`)];
  }
  const { lock, text } = existing;
  const found: LockDifference[] = [];
  if (lock.platform !== expected.platform) {
    const message = `platform is ${lock.platform} in the lock, VERSION says ${expected.platform}`;
    found.push(difference('platform', undefined, lock.platform, expected.platform, message));
  }
  const aliases = new Set([...expected.modules.keys(), ...lock.modules.keys()]);
  for (const alias of [...aliases].sort()) {
    found.push(...entryDifference(alias, lock.modules.get(alias), expected.modules.get(alias)));
  }
  if (found.length === 0 && text !== formatLock(asFound(expected, lock))) {
    const message = `${file} has the right content in another form than lock writes`;
    found.push(difference('format', undefined, undefined, undefined, message));
  }
  return found;
}

function entryDifference(
  alias: string,
  found: LockEntry | undefined,
  expected: LockEntry | undefined,
): LockDifference[] {
  if (expected === undefined) {
    const version = found?.version;
    const message = `${alias} ${version} is in the lock, but there is no such module`;
    return [difference('extra', alias, version, undefined, message)];
  }
  if (found === undefined) {
    const message = `${alias} ${expected.version} is not in the lock`;
    return [difference('missing', alias, undefined, expected.version, message)];
  }
  if (found.version !== expected.version) {
    const message = `${alias} is ${found.version} in the lock, its module.json says ${expected.version}`;
    return [difference('version', alias, found.version, expected.version, message)];
  }
  if (found.sha256 !== expected.sha256) {
    const message = `${alias} ${found.version} has the digest ${found.sha256} in the lock, its files have ${expected.sha256}`;
    return [difference('digest', alias, found.sha256, expected.sha256, message)];
  }
  const names = ['directory', 'source', 'tree', 'file_count', 'size_bytes'] as const;
  const name = names.find((each) => found[each] !== expected[each]);
  if (name === undefined) return [];
  const [was, is] = [String(found[name]), String(expected[name])];
  const message = `${alias} ${found.version} has ${name} ${was} in the lock, found ${is}`;
  return [difference('locator', alias, was, is, message)];
}

function difference(
  kind: LockDifferenceKind,
  alias: string | undefined,
  found: string | undefined,
  expected: string | undefined,
  message: string,
): LockDifference {
  return { kind, alias, found, expected, message };
}

/** `expected` with the fields of `found` that a check ignores. */
function asFound(expected: Lock, found: Lock): Lock {
  const modules = new Map<string, LockEntry>();
  for (const [alias, entry] of expected.modules) {
    const { artifact = null, released_at = null } = found.modules.get(alias) ?? {};
    modules.set(alias, { ...entry, artifact, released_at });
  }
  return { ...expected, modules };
}

/** What a new lock changes, one sentence for each module, sorted by alias. */
export function describeLockChanges(before: Lock | undefined, after: Lock): string[] {
  const aliases = new Set([...(before?.modules.keys() ?? []), ...after.modules.keys()]);
  return [...aliases].sort().flatMap((alias) => {
    const [from, to] = [before?.modules.get(alias), after.modules.get(alias)];
    if (from === undefined) return [`${alias} ${to?.version} added`];
    if (to === undefined) return [`${alias} ${from.version} removed`];
    const moved =
      from.directory !== null && to.directory !== from.directory
        ? [`${alias} moved from ${from.directory} to ${to.directory}`]
        : [];
    if (from.version !== to.version) return [`${alias} ${from.version} → ${to.version}`, ...moved];
    if (from.sha256 !== to.sha256) return [`${alias} ${to.version} has another digest`, ...moved];
    return moved;
  });
}
