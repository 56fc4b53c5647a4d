import { badInput, refused } from '../errors.ts';
import { type Lock, type LockEntry, parseLock, samePin } from '../repo/lock.ts';
import {
  type ComparedModule,
  type ModuleDifference,
  moduleDifference,
} from '../repo/module-difference.ts';
import { parseModuleManifest } from '../repo/module-manifest.ts';
import { lockFile, ringOfLockFile } from '../repo/names.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import { readModuleFiles } from './module-digest.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';
import type { PackageSource } from './package-source.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import { resolveAnywhere } from './resolve-version.ts';
import { findModule } from './ring-selection.ts';
import { modulePath } from './tree-history.ts';

/** A module that changes, with the rings in which it does (none for two versions by name). */
export interface ComparedPin extends ModuleDifference {
  readonly rings: readonly string[];
}

export interface Comparison {
  /** What the two sides are called: `canary`, a commit, `orders@1.0.0`. */
  readonly from: string;
  readonly to: string;
  /** Platforms that change: of a ring, from, to. */
  readonly platforms: readonly {
    readonly ring: string;
    readonly from: string | null;
    readonly to: string | null;
  }[];
  /** By alias. */
  readonly modules: readonly ComparedPin[];
}

interface PinPair {
  readonly alias: string;
  readonly from: LockEntry | undefined;
  readonly to: LockEntry | undefined;
  readonly ring: string | undefined;
}

/** Two versions of a module. @throws RinglockError `unknown-module`, and what resolveAnywhere() throws */
export async function compareVersions(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  from: string,
  to: string,
  packages: PackageSource,
): Promise<Comparison> {
  const [before, after] = [
    await namedPin(repository, snapshot, from, packages),
    await namedPin(repository, snapshot, to, packages),
  ];
  if (before.alias !== after.alias) {
    throw badInput(
      'two-modules',
      `${from} and ${to} are two modules, expected two versions of one`,
    );
  }
  const pair = { alias: before.alias, from: before.entry, to: after.entry, ring: undefined };
  return { from, to, platforms: [], modules: await differences(repository, [pair], packages) };
}

/** What two rings' locks in the work tree pin. @throws RinglockError `unknown-ring`, `no-lock` */
export async function compareRings(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  from: string,
  to: string,
  packages: PackageSource,
): Promise<Comparison> {
  const [before, after] = [ringLock(snapshot, from), ringLock(snapshot, to)];
  const pairs = pairsOf(before, after, to);
  const isSame = before.platform === after.platform;
  const platforms = isSame ? [] : [{ ring: to, from: before.platform, to: after.platform }];
  return { from, to, platforms, modules: await differences(repository, pairs, packages) };
}

/**
 * What rings' locks pin in two commits.
 *
 * @param ring only this one
 * @throws RinglockError `unknown-revision`, `unknown-ring`
 */
export async function compareCommits(
  repository: GitRepository,
  from: string,
  to: string,
  ring: string | undefined,
  packages: Pick<PackageSource, 'read'>,
): Promise<Comparison> {
  const [before, after] = [await locksAt(repository, from), await locksAt(repository, to)];
  const rings = [...new Set([...before.keys(), ...after.keys()])].sort();
  if (ring !== undefined && !rings.includes(ring))
    requireRing({ rings: new Map(rings.map((name) => [name, name])) }, ring);
  const pairs: PinPair[] = [];
  const platforms: Comparison['platforms'][number][] = [];
  for (const name of rings.filter((each) => ring === undefined || each === ring)) {
    const [one, other] = [before.get(name), after.get(name)];
    pairs.push(...pairsOf(one, other, name));
    if (one?.platform === other?.platform) continue;
    platforms.push({ ring: name, from: one?.platform ?? null, to: other?.platform ?? null });
  }
  return { from, to, platforms, modules: await differences(repository, pairs, packages) };
}

/** What changes with each of a ring's pins, by alias. */
export async function comparePins(
  repository: GitRepository,
  ring: string,
  pins: readonly {
    readonly alias: string;
    readonly before: LockEntry | undefined;
    readonly after: LockEntry;
  }[],
  packages: Pick<PackageSource, 'read'>,
): Promise<ReadonlyMap<string, ModuleDifference>> {
  const pairs = pins.map(({ alias, before, after }) => ({ alias, from: before, to: after, ring }));
  const found = await differences(repository, pairs, packages);
  return new Map(found.map((difference) => [difference.alias, difference]));
}

async function namedPin(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  name: string,
  packages: PackageSource,
) {
  const [, module = '', version = ''] = /^([^@]+)@([^@]+)$/.exec(name) ?? [];
  if (version === '') {
    throw badInput(
      'invalid-version',
      `${name} is not a version of a module, expected alias@version`,
      {
        hint: 'For example: ringlock diff orders@1.0.0 orders@1.1.0, or a range of commits: A..B.',
      },
    );
  }
  const alias = findModule(snapshot.modules, module)?.alias ?? module;
  const { entry } = await resolveAnywhere(repository, snapshot, alias, version, packages);
  return { alias, entry };
}

function ringLock(snapshot: PlatformSnapshot, name: string): Lock {
  requireRing(snapshot, name);
  const text = snapshot.lockTexts.get(name);
  if (text !== undefined) return parseLock(text, name);
  throw badInput('no-lock', `${lockFile(name)} is missing`, {
    hint: `Write it with \`ringlock lock --ring ${name}\`.`,
  });
}

async function locksAt({ topLevel }: GitRepository, revision: string): Promise<Map<string, Lock>> {
  const spec = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
  const { status, stdout } = await tryGit(topLevel, spec);
  if (status !== 0) {
    throw badInput('unknown-revision', `${revision} is not a commit of this repository`, {
      hint: 'Fetch it, or name another branch, tag or commit.',
    });
  }
  const commit = stdout.toString().trim();
  const listed = await runGit(topLevel, [
    'ls-tree',
    '-z',
    '--name-only',
    commit,
    '--',
    'manifests/',
  ]);
  const locks = new Map<string, Lock>();
  for (const path of listed.split('\0')) {
    const ring = ringOfLockFile(path);
    if (ring === undefined) continue;
    const text = await runGit(topLevel, ['cat-file', 'blob', `${commit}:${path}`]);
    locks.set(ring, parseLock(text, ring, `${revision}:${path}`));
  }
  return locks;
}

function pairsOf(from: Lock | undefined, to: Lock | undefined, ring: string): PinPair[] {
  const aliases = new Set([...(from?.modules.keys() ?? []), ...(to?.modules.keys() ?? [])]);
  return [...aliases].flatMap((alias) => {
    const [before, after] = [from?.modules.get(alias), to?.modules.get(alias)];
    if (before !== undefined && after !== undefined && samePin(before, after)) return [];
    return [{ alias, from: before, to: after, ring }];
  });
}

/** One for each pair of pins, whatever the number of rings that have it. */
async function differences(
  repository: GitRepository,
  pairs: readonly PinPair[],
  packages: Pick<PackageSource, 'read'>,
): Promise<ComparedPin[]> {
  const grouped = new Map<string, PinPair[]>();
  for (const pair of pairs) {
    const key = `${pair.alias} ${pair.from?.sha256} ${pair.to?.sha256} ${pair.from?.version} ${pair.to?.version}`;
    grouped.set(key, [...(grouped.get(key) ?? []), pair]);
  }
  return withObjects(repository, async (objects) => {
    const compared = [...grouped.values()].map(async (group): Promise<ComparedPin[]> => {
      const [pair] = group;
      if (pair === undefined) return [];
      const [from, to] = await Promise.all([
        side(objects, pair.alias, pair.from, packages),
        side(objects, pair.alias, pair.to, packages),
      ]);
      const rings = group.flatMap(({ ring }) => ring ?? []);
      return [{ ...moduleDifference(pair.alias, from, to), rings }];
    });
    const found = (await Promise.all(compared)).flat();
    return found.sort((a, b) => (a.alias < b.alias ? -1 : a.alias > b.alias ? 1 : 0));
  });
}

async function side(
  objects: ObjectBatch,
  alias: string,
  entry: LockEntry | undefined,
  packages: Pick<PackageSource, 'read'>,
): Promise<ComparedModule | undefined> {
  if (entry === undefined) return undefined;
  const { tree, directory, version, sha256, artifact } = entry;
  if (tree === null && artifact !== null) {
    const { manifest, changelog, files } = await packages.read(alias, version, artifact);
    return { version, sha256, manifest, changelog, files };
  }
  try {
    const path = modulePath(directory ?? alias);
    const module = tree === null ? undefined : await readModuleFiles(objects, { tree, path });
    if (module === undefined) throw unreadable(alias, version);
    const manifest = parseModuleManifest(module.manifest, `${path}/module.json`);
    const sized = module.files.map(async (file) => {
      const { size } = await objects.stream(file.oid, () => {});
      return [file.path, { oid: file.oid, size }] as const;
    });
    const files = new Map(await Promise.all(sized));
    const log = files.get(manifest.changelog);
    const changelog = log && (await objects.readBlob(log.oid)).toString();
    return { version, sha256, manifest, changelog, files };
  } catch (error) {
    if (isObjectMissing(error)) throw unreadable(alias, version);
    throw error;
  }
}

function unreadable(alias: string, version: string) {
  return refused('tree-missing', `the tree of ${alias} ${version} is not in this repository`, {
    hint: 'Fetch what has it: git fetch --all --tags.',
  });
}
