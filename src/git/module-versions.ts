import semver from 'semver';
import { RinglockError, refused } from '../errors.ts';
import { type LockEntry, parseLock } from '../repo/lock.ts';
import { lockEntryOf } from '../repo/lock-writing.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import { ringOfLockFile } from '../repo/names.ts';
import { findDeployRefs } from './deploy-branch.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';
import { digestModule } from './module-digest.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import { type Released, readReleased } from './released-bytes.ts';
import { commitsWithTrees, modulePath, wantedTree } from './tree-history.ts';

/** Where git has a version of a module. */
export interface VersionPlace {
  readonly version: string;
  readonly commit: string;
  /** From the repository's top: `modules/Orders`. */
  readonly path: string;
  /** Git tree object id. */
  readonly tree: string;
}

/** A version with its bytes read: what a lock says of it. */
export interface ResolvedVersion {
  readonly entry: LockEntry;
  readonly manifest: ModuleManifest;
  /** Undefined for a package: git does not have it. */
  readonly commit: string | undefined;
  /** Whether no deploy branch and no tag keeps its tree on the server. */
  readonly needsTag: boolean;
}

/** Versions of a module that this repository has, with what released them. */
export interface ModuleVersions {
  readonly alias: string;
  /** By version, highest first; of each every place, newest first. */
  readonly places: ReadonlyMap<string, readonly VersionPlace[]>;
  readonly released: Released;
}

/**
 * Finds every version of a module in the history of all branches and tags.
 *
 * @throws RinglockError `git-failed`
 */
export async function findVersions(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  alias: string,
): Promise<ModuleVersions> {
  const branches = [...snapshot.rings.values()].map(({ ring }) => ring.branch);
  const refs = await findDeployRefs(repository, branches);
  const released = await readReleased(repository, refs);
  return withObjects(repository, async (objects) => {
    const places = new Map<string, VersionPlace[]>();
    for (const path of await pathsOf(objects, snapshot, released, alias)) {
      for (const place of await placesAt(repository, objects, alias, path)) {
        places.set(place.version, [...(places.get(place.version) ?? []), place]);
      }
    }
    const order = [...places].sort(([a], [b]) => semver.rcompare(a, b));
    return { alias, places: new Map(order), released };
  });
}

/**
 * Reads one version's bytes: the released ones, or those of the only line of history that has it.
 *
 * @param elsewhere versions that only a registry has, for the message
 * @throws RinglockError `unknown-version` naming those there are, `ambiguous-version`, `released-bytes`
 */
export async function resolveVersion(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  { alias, places }: ModuleVersions,
  version: string,
  elsewhere: readonly string[] = [],
): Promise<ResolvedVersion> {
  const candidates = places.get(version) ?? [];
  if (candidates.length === 0) throw unknownVersion(alias, version, [...places.keys()], elsewhere);
  const paths = [...new Set(candidates.map(({ path }) => path))];
  const asked = paths.map((path) => ({ alias, version, path }));
  const refs = await findDeployRefs(
    repository,
    [...snapshot.rings.values()].map(({ ring }) => ring.branch),
  );
  const released = (await readReleased(repository, refs, asked)).get(alias)?.get(version);
  return withObjects(repository, async (objects) => {
    const chosen = await choose(repository, objects, alias, candidates, released?.sha256);
    const { manifest: text, ...digest } = chosen.digest;
    const { place } = chosen;
    const manifest = parseModuleManifest(text, `${place.path}/module.json`);
    const directory = place.path.replace(/^modules\//, '');
    const lockable = { alias, directory, manifest, tree: place.tree, ...digest };
    const entry = await known(objects, released, alias, lockEntryOf(lockable, undefined));
    const wanted = wantedTree(entry);
    const revisions = [...refs.map(({ ref }) => ref), '--tags'];
    const kept =
      wanted && (await commitsWithTrees(repository, objects, revisions, [wanted], 'first'));
    const needsTag = entry.artifact === null && (kept?.size ?? 0) === 0;
    return { entry, manifest, commit: place.commit, needsTag };
  });
}

/** Where a module is or was: in modules/, the locks, and the locks that released its versions. */
async function pathsOf(
  objects: ObjectBatch,
  { modules, lockTexts }: PlatformSnapshot,
  released: Released,
  alias: string,
): Promise<string[]> {
  const paths = new Set<string>();
  const module = modules.get(alias);
  if (module !== undefined) paths.add(module.path);
  for (const [ring, text] of lockTexts) {
    const directory = entryIn(text, ring, alias)?.directory;
    if (directory) paths.add(modulePath(directory));
  }
  for (const bytes of released.get(alias)?.values() ?? []) {
    if (bytes === undefined) continue;
    const directory = (await releasedEntry(objects, bytes, alias))?.directory;
    if (directory) paths.add(modulePath(directory));
  }
  return [...paths];
}

async function releasedEntry(
  objects: ObjectBatch,
  { commit, path }: { readonly commit: string; readonly path: string },
  alias: string,
): Promise<LockEntry | undefined> {
  const ring = ringOfLockFile(path);
  if (ring === undefined) return undefined;
  try {
    return entryIn((await objects.readBlob(`${commit}:${path}`)).toString(), ring, alias);
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}

export function entryIn(text: string, ring: string, alias: string): LockEntry | undefined {
  return entriesIn(text, ring).get(alias);
}

/** A lock that cannot be read, as in the middle of a merge, knows nothing. */
export function entriesIn(text: string, ring: string): ReadonlyMap<string, LockEntry> {
  try {
    return parseLock(text, ring).modules;
  } catch (error) {
    if (error instanceof RinglockError) return new Map();
    throw error;
  }
}

/** How many commits are asked of git at once. */
const windowSize = 256;

async function placesAt(
  { topLevel }: GitRepository,
  objects: ObjectBatch,
  alias: string,
  path: string,
): Promise<VersionPlace[]> {
  const revisions = ['--branches', '--remotes', '--tags', 'HEAD'];
  const args = ['rev-list', '--topo-order', '--full-history', ...revisions, '--', path];
  const commits = (await runGit(topLevel, args)).split('\n').filter(Boolean);
  const versions = new Map<string, Promise<string | undefined>>();
  const found: VersionPlace[] = [];
  for (let start = 0; start < commits.length; start += windowSize) {
    const window = commits.slice(start, start + windowSize).map(async (commit) => {
      const tree = await treeAt(objects, `${commit}:${path}`);
      if (tree === undefined) return undefined;
      const reading = versions.get(tree) ?? versionIn(objects, tree, alias);
      versions.set(tree, reading);
      const version = await reading;
      return version === undefined ? undefined : { version, commit, path, tree };
    });
    for (const place of await Promise.all(window)) if (place !== undefined) found.push(place);
  }
  return found;
}

async function treeAt(objects: ObjectBatch, spec: string): Promise<string | undefined> {
  try {
    const { oid, type } = await objects.read(spec);
    return type === 'tree' ? oid : undefined;
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}

/** Undefined for a tree of another module, or whose module.json says no version. */
async function versionIn(
  objects: ObjectBatch,
  tree: string,
  alias: string,
): Promise<string | undefined> {
  try {
    const text = (await objects.readBlob(`${tree}:module.json`)).toString();
    const manifest = JSON.parse(text) as { alias?: unknown; version?: unknown } | null;
    if (manifest?.alias !== alias || typeof manifest.version !== 'string') return undefined;
    return semver.valid(manifest.version) === manifest.version ? manifest.version : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isObjectMissing(error)) return undefined;
    throw error;
  }
}

async function choose(
  repository: GitRepository,
  objects: ObjectBatch,
  alias: string,
  candidates: readonly VersionPlace[],
  sha256: string | undefined,
) {
  const version = candidates[0]?.version ?? '';
  const ends = sha256 === undefined ? await lineEnds(repository, candidates) : candidates;
  const byTree = new Map(ends.toReversed().map((place) => [place.tree, place]));
  const read = [...byTree.values()].reverse().map(async (place) => {
    const digest = await digestModule(objects, place.tree, place.path, Infinity);
    return digest === undefined ? [] : [{ place, digest }];
  });
  const found = (await Promise.all(read)).flat();
  const right = found.filter(({ digest }) => sha256 === undefined || digest.sha256 === sha256);
  const [first] = right;
  if (first === undefined) {
    throw refused(
      'released-bytes',
      `${alias} ${version} was released with the digest ${sha256}, and no branch or tag here has these bytes`,
      { hint: 'Fetch what has them: git fetch --all --tags.' },
    );
  }
  const other = right.find(({ digest }) => digest.sha256 !== first.digest.sha256);
  if (other === undefined) return first;
  const commits = [first, other].map(({ place }) => place.commit.slice(0, 12));
  throw refused(
    'ambiguous-version',
    `${alias} ${version} has other bytes in ${commits[0]} than in ${commits[1]}, and neither is released`,
    {
      hint: `Tag the right one (git tag ${alias}@${version} <commit>), or give one of them another version.`,
      details: { commits: right.map(({ place }) => place.commit) },
    },
  );
}

/** Of the commits with a version those that no other of them descends from. */
async function lineEnds(
  { topLevel }: GitRepository,
  candidates: readonly VersionPlace[],
): Promise<readonly VersionPlace[]> {
  const commits = candidates.map(({ commit }) => commit);
  if (new Set(candidates.map(({ tree }) => tree)).size < 2) return candidates;
  const { status, stdout } = await tryGit(topLevel, ['merge-base', '--independent', ...commits]);
  const ends = new Set(stdout.toString().split('\n'));
  return status === 0 ? candidates.filter(({ commit }) => ends.has(commit)) : candidates;
}

/** A lock that released the version may know its artifact. */
async function known(
  objects: ObjectBatch,
  released: { readonly commit: string; readonly path: string } | undefined,
  alias: string,
  entry: LockEntry,
): Promise<LockEntry> {
  const before = released && (await releasedEntry(objects, released, alias));
  if (before?.sha256 !== entry.sha256) return entry;
  return { ...entry, artifact: before.artifact, released_at: before.released_at };
}

const mostListed = 30;

function unknownVersion(
  alias: string,
  version: string,
  known: readonly string[],
  elsewhere: readonly string[],
): RinglockError {
  const only = elsewhere.filter((other) => !known.includes(other));
  const more = known.length > mostListed ? `, and ${known.length - mostListed} more` : '';
  const here = known.slice(0, mostListed).join(', ') || 'none';
  const inRegistry = only.length > 0 ? ` Only in a registry: ${only.join(', ')}.` : '';
  return refused(
    'unknown-version',
    `${alias} ${version} is in no branch and no tag of this repository`,
    {
      hint: `Versions there: ${here}${more}.${inRegistry} A newer one may have to be fetched: git fetch --all --tags.`,
      details: { alias, versions: known, registry_only: only },
    },
  );
}
