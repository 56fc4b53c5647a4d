import { createHash, hash } from 'node:crypto';
import { contentDigest } from '../digest/content-digest.ts';
import { distributedFiles, moduleManifestFile } from '../digest/module-files.ts';
import { isLfsPointer, lfsPointerMaxBytes } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import { committedText } from '../repo/committed-text.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import type { GitRepository } from './git-command.ts';
import { listFilesBelow } from './module-walk.ts';
import { ObjectBatch } from './object-batch.ts';

/** What a module's git tree says of it; a function of the tree's id and the digest's rules alone. */
export interface ModuleDigest {
  /** The text of its module.json. */
  readonly manifest: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  /** Files that are digested. */
  readonly fileCount: number;
  /** Bytes of the files that are digested. */
  readonly sizeBytes: number;
}

/** A file of a module, with the blob that holds its content. */
export interface ModuleBlob {
  /** Relative to the module. */
  readonly path: string;
  readonly mode: string;
  readonly oid: string;
}

/** A module's tree and what messages call it, `modules/Orders`. */
export interface ModuleTree {
  readonly tree: string;
  readonly path: string;
}

/**
 * Digests a module from its git tree, or returns undefined when it has no module.json.
 *
 * @param path what messages call it, `modules/Orders`
 * @throws RinglockError `refused-path`, `invalid-json`, `invalid-file`
 */
export async function digestModule(
  objects: ObjectBatch,
  tree: string,
  path: string,
  maxFiles: number,
): Promise<ModuleDigest | undefined> {
  const listed = await listModule(objects, { tree, path }, maxFiles);
  if (listed === undefined) return undefined;
  return digestOf(listed, await hashBlobs(objects, listed));
}

/**
 * As digestModule(), for many at once: all their blobs come from one process that need not answer
 * each request before it reads the next.
 */
export async function digestModules(
  repository: GitRepository,
  objects: ObjectBatch,
  modules: readonly ModuleTree[],
  maxFiles: number,
): Promise<(ModuleDigest | undefined)[]> {
  const listed = await allOrFirst(modules.map((module) => listModule(objects, module, maxFiles)));
  if (listed.every((module) => module === undefined)) return listed.map(() => undefined);
  const blobs = new ObjectBatch(repository, { buffered: true });
  const hashed = listed.map((module) => (module === undefined ? [] : hashBlobs(blobs, module)));
  const [digests] = await Promise.all([allOrFirst(hashed), blobs.close()]);
  return listed.map((module, index) => module && digestOf(module, digests[index] ?? []));
}

/** The manifest and the distributed files of a module's tree; undefined when it has no module.json. */
export async function readModuleFiles(
  objects: ObjectBatch,
  module: ModuleTree,
): Promise<{ readonly manifest: string; readonly files: readonly ModuleBlob[] } | undefined> {
  return listModule(objects, module, Infinity);
}

/** Waits for all before it throws the first error in order, so that messages are deterministic. */
async function allOrFirst<T>(promises: readonly (T | Promise<T>)[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

interface ListedModule {
  readonly path: string;
  /** The text of its module.json. */
  readonly manifest: string;
  /** Those that are digested. */
  readonly files: readonly ModuleBlob[];
}

async function listModule(
  objects: ObjectBatch,
  { tree, path }: ModuleTree,
  maxFiles: number,
): Promise<ListedModule | undefined> {
  const top = await objects.readTree(tree);
  const manifestEntry = top.find((entry) => entry.path === moduleManifestFile);
  if (manifestEntry === undefined || manifestEntry.mode === '040000') return undefined;
  const manifestFile = `${path}/${moduleManifestFile}`;
  if (!manifestEntry.mode.startsWith('100')) {
    throw refused('refused-path', `${manifestFile} is not a regular file`);
  }
  const manifest = committedText(await objects.readBlob(manifestEntry.oid), manifestFile);
  const parsed = parseModuleManifest(manifest, manifestFile);
  return { path, manifest, files: await distributedBlobs(objects, tree, parsed, path, maxFiles) };
}

interface HashedBlob {
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

function hashBlobs(objects: ObjectBatch, { path, files }: ListedModule): Promise<HashedBlob[]> {
  return Promise.all(files.map((file) => hashBlob(objects, file, path)));
}

function digestOf({ manifest }: ListedModule, hashed: readonly HashedBlob[]): ModuleDigest {
  return {
    manifest,
    sha256: contentDigest(hashed),
    fileCount: hashed.length,
    sizeBytes: hashed.reduce((sum, { size }) => sum + size, 0),
  };
}

/**
 * The files of a module that are digested and installed.
 *
 * @throws RinglockError `refused-path`, `limit-exceeded`
 */
async function distributedBlobs(
  objects: ObjectBatch,
  tree: string,
  manifest: ModuleManifest,
  path: string,
  maxFiles: number,
): Promise<ModuleBlob[]> {
  return distributedFiles(manifest, await listFilesBelow(objects, tree, path), path, maxFiles);
}

/** @throws RinglockError `refused-path` for a git-LFS pointer */
async function hashBlob(
  objects: ObjectBatch,
  { path, oid }: ModuleBlob,
  module: string,
): Promise<HashedBlob> {
  let sha256: string | undefined;
  let start = Buffer.alloc(0);
  const large = createLazyHash();
  const { size } = await objects.stream(oid, (chunk, header) => {
    if (header.size <= lfsPointerMaxBytes) start = Buffer.concat([start, chunk]);
    if (chunk.length === header.size) sha256 = hash('sha256', chunk);
    else large.update(chunk);
  });
  if (isLfsPointer(start)) {
    throw refused('refused-path', `${module}/${path} is a git-LFS pointer`, {
      hint: 'Commit the file itself, or leave it out with distribution.exclude in module.json.',
      details: { refusals: [{ path, reason: 'is a git-LFS pointer' }] },
    });
  }
  return { path, sha256: sha256 ?? large.digest(), size };
}

/** Most files come in one chunk, and need no incremental hash. */
function createLazyHash(): { update(chunk: Buffer): void; digest(): string } {
  let incremental: ReturnType<typeof createHash> | undefined;
  const get = () => (incremental ??= createHash('sha256'));
  return { update: (chunk) => void get().update(chunk), digest: () => get().digest('hex') };
}
