import { badInput, refused } from '../errors.ts';
import { committedText } from '../repo/committed-text.ts';
import type { GraphModule } from '../repo/graph.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import {
  manifestsDirectory,
  platformFile,
  ringOfLockFile,
  ringOfRingFile,
  settingsFile,
} from '../repo/names.ts';
import { parsePlatformVersion } from '../repo/platform.ts';
import { parseRingFile, type RingFile } from '../repo/ring.ts';
import { parseSettings, type Settings } from '../repo/settings.ts';
import { type DigestCache, openDigestCache } from './digest-cache.ts';
import type { GitRepository } from './git-command.ts';
import { digestModules, type ModuleDigest, type ModuleTree } from './module-digest.ts';
import { type ObjectBatch, withObjects } from './object-batch.ts';
import type { TreeEntry } from './object-store.ts';

/** A module as one git tree has it. */
export interface ModuleSnapshot {
  readonly alias: string;
  /** As in the lock: `Orders` below modules/, `themes/Dark` below another root. */
  readonly directory: string;
  /** From the repository's top: `modules/Orders`. */
  readonly path: string;
  readonly manifest: ModuleManifest;
  /** The text of its module.json. */
  readonly manifestText: string;
  /** Git tree object id. */
  readonly tree: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  readonly fileCount: number;
  readonly sizeBytes: number;
}

/** Everything that one git tree says of the platform. */
export interface PlatformSnapshot {
  readonly tree: string;
  /** The version in `VERSION`. */
  readonly platform: string;
  readonly settings: Settings;
  /** By alias, sorted. */
  readonly modules: ReadonlyMap<string, ModuleSnapshot>;
  /** By name, sorted. */
  readonly rings: ReadonlyMap<string, RingFile>;
  /** The text of each lock file, by ring: it may have conflict markers, or be of a ring without a file. */
  readonly lockTexts: ReadonlyMap<string, string>;
}

/**
 * Reads the platform from a git tree (see tree-snapshot.ts for how to come by one). A module is a
 * direct child of a package root that has a module.json; nothing else is.
 *
 * @param options.cache false digests everything again; default: by tree id, from the local cache
 * @throws RinglockError `no-platform`, `alias-clash`, `directory-clash`, `refused-path`, and what
 *   the parsers of the committed files throw
 */
export async function readPlatform(
  repository: GitRepository,
  tree: string,
  options: { readonly cache?: boolean } = {},
): Promise<PlatformSnapshot> {
  const cache = options.cache === false ? noCache : await openDigestCache(repository);
  const snapshot = await withObjects(repository, async (objects) => {
    const top = await objects.readTree(tree);
    const [platform, manifests] = await Promise.all([
      readVersion(objects, top),
      readManifests(objects, top),
    ]);
    const settings = parseSettings(manifests.get(settingsFile) ?? '');
    const found = await findModules(repository, objects, top, settings, cache);
    return { tree, platform, settings, modules: byAlias(found), ...ringFiles(manifests) };
  });
  await cache.save();
  return snapshot;
}

/** What the dependency graph needs to know of a snapshot's module. */
export function graphModuleOf({ manifest }: Pick<ModuleSnapshot, 'manifest'>): GraphModule {
  const { version, platformRange, dependencies } = manifest;
  return { version, platformRange, dependencies };
}

/** A module's place in the lock: below modules/ the root is left out. */
function lockDirectory(root: string, name: string): string {
  return root === 'modules' ? name : `${root}/${name}`;
}

const noCache: DigestCache = { get: () => undefined, set: () => {}, save: async () => {} };

async function readVersion(objects: ObjectBatch, top: readonly TreeEntry[]): Promise<string> {
  const entry = top.find(({ path }) => path === platformFile);
  if (entry === undefined) {
    throw badInput('no-platform', `${platformFile} is missing: this is not a ringlock platform`, {
      hint: 'Run `ringlock init`, or add the file if git does not have it yet.',
    });
  }
  return parsePlatformVersion(committedText(await objects.readBlob(entry.oid), platformFile));
}

/** The texts of the files directly below manifests/ that are read, by path. */
async function readManifests(
  objects: ObjectBatch,
  top: readonly TreeEntry[],
): Promise<ReadonlyMap<string, string>> {
  const entries = await subtree(objects, top, manifestsDirectory);
  const wanted = (entries ?? [])
    .map(({ path, mode, oid }) => ({ path: `${manifestsDirectory}/${path}`, mode, oid }))
    .filter(({ path, mode }) => mode.startsWith('100') && isReadManifest(path));
  const texts = wanted.map(
    async ({ path, oid }) => [path, committedText(await objects.readBlob(oid), path)] as const,
  );
  return new Map(await Promise.all(texts));
}

function isReadManifest(path: string): boolean {
  return (
    path === settingsFile ||
    ringOfLockFile(path) !== undefined ||
    ringOfRingFile(path) !== undefined
  );
}

function ringFiles(
  manifests: ReadonlyMap<string, string>,
): Pick<PlatformSnapshot, 'rings' | 'lockTexts'> {
  const rings = new Map<string, RingFile>();
  const lockTexts = new Map<string, string>();
  for (const [path, text] of manifests) {
    const ring = ringOfRingFile(path);
    if (ring !== undefined) rings.set(ring, parseRingFile(text, ring));
    const locked = ringOfLockFile(path);
    if (locked !== undefined) lockTexts.set(locked, text);
  }
  return { rings, lockTexts };
}

async function findModules(
  repository: GitRepository,
  objects: ObjectBatch,
  top: readonly TreeEntry[],
  { roots, maxFiles }: Settings,
  cache: DigestCache,
): Promise<ModuleSnapshot[]> {
  const folders: ModuleFolder[] = [];
  for (const root of roots) {
    for (const { path: name, mode, oid } of (await subtree(objects, top, root)) ?? []) {
      if (mode === '160000') {
        throw refused('refused-path', `${root}/${name} is a gitlink (submodule)`, {
          hint: 'A module is a directory of this repository: add its files instead.',
        });
      }
      if (mode === '040000') folders.push({ root, name, tree: oid, path: `${root}/${name}` });
    }
  }
  const digests = await cachedDigests(repository, objects, folders, maxFiles, cache);
  return folders.flatMap((folder, index) => {
    const digest = digests[index];
    return digest === undefined ? [] : [moduleSnapshot(folder, digest)];
  });
}

interface ModuleFolder extends ModuleTree {
  readonly root: string;
  readonly name: string;
}

function moduleSnapshot(
  { root, name, path, tree }: ModuleFolder,
  digest: ModuleDigest,
): ModuleSnapshot {
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    throw refused(
      'invalid-module-directory',
      `${path} is a module whose directory is named ${JSON.stringify(name)}, expected letters, digits, dots, hyphens and underscores`,
      { hint: 'Rename the directory.' },
    );
  }
  const directory = lockDirectory(root, name);
  const { manifest: manifestText, sha256, fileCount, sizeBytes } = digest;
  const manifest = parseModuleManifest(manifestText, `${path}/module.json`);
  const { alias } = manifest;
  return { alias, directory, path, manifest, manifestText, tree, sha256, fileCount, sizeBytes };
}

/** In the order given; undefined for a folder that is no module. */
async function cachedDigests(
  repository: GitRepository,
  objects: ObjectBatch,
  folders: readonly ModuleFolder[],
  maxFiles: number,
  cache: DigestCache,
): Promise<(ModuleDigest | undefined)[]> {
  // With a lower limit than when it was digested, it is digested again, and refused in words.
  const isKnown = ({ tree }: ModuleFolder) => (cache.get(tree)?.fileCount ?? Infinity) <= maxFiles;
  const unknown = folders.filter((folder) => !isKnown(folder));
  const digests = await digestModules(repository, objects, unknown, maxFiles);
  const fresh = new Map(unknown.map(({ tree }, index) => [tree, digests[index]]));
  for (const [tree, digest] of fresh) if (digest !== undefined) cache.set(tree, digest);
  return folders.map(({ tree }) => (fresh.has(tree) ? fresh.get(tree) : cache.get(tree)));
}

/** The entries of a folder, or undefined when it is not there. */
async function subtree(
  objects: ObjectBatch,
  top: readonly TreeEntry[],
  folder: string,
): Promise<readonly TreeEntry[] | undefined> {
  let entries: readonly TreeEntry[] = top;
  for (const segment of folder.split('/')) {
    const entry = entries.find(({ path }) => path === segment);
    if (entry?.mode !== '040000') return undefined;
    entries = await objects.readTree(entry.oid);
  }
  return entries;
}

function byAlias(modules: readonly ModuleSnapshot[]): Map<string, ModuleSnapshot> {
  const aliases = new Map<string, ModuleSnapshot>();
  const directories = new Map<string, ModuleSnapshot>();
  for (const module of modules) {
    const other = aliases.get(module.alias);
    if (other !== undefined) {
      throw refused(
        'alias-clash',
        `${other.path}/module.json and ${module.path}/module.json both have the alias ${module.alias}, expected one module for each alias`,
        { hint: 'Give one of them another alias.' },
      );
    }
    aliases.set(module.alias, module);
    directories.set(module.directory.toLowerCase(), module);
  }
  for (const module of modules) refuseDirectoryClash(module, directories);
  return new Map([...aliases].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Two directories of a generation must not be one, nor lie in each other, on any file system. */
function refuseDirectoryClash(
  module: ModuleSnapshot,
  directories: ReadonlyMap<string, ModuleSnapshot>,
): void {
  const segments = module.directory.toLowerCase().split('/');
  for (let length = 1; length <= segments.length; length++) {
    const other = directories.get(segments.slice(0, length).join('/'));
    if (other === undefined || other === module) continue;
    throw refused(
      'directory-clash',
      `${other.path} and ${module.path} would be installed in one place (${other.directory} and ${module.directory})`,
      { hint: 'Rename one of them.' },
    );
  }
}
