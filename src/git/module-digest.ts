import { createHash, hash } from 'node:crypto';
import { contentDigest } from '../digest/content-digest.ts';
import { distributedFiles, moduleManifestFile } from '../digest/module-files.ts';
import { isLfsPointer, lfsPointerMaxBytes } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import type { ObjectBatch } from './object-batch.ts';
import type { TreeEntry } from './object-store.ts';

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
  const top = await objects.readTree(tree);
  const manifestEntry = top.find((entry) => entry.path === moduleManifestFile);
  if (manifestEntry === undefined || manifestEntry.mode === '040000') return undefined;
  const manifestFile = `${path}/${moduleManifestFile}`;
  if (!manifestEntry.mode.startsWith('100')) {
    throw refused('refused-path', `${manifestFile} is not a regular file`);
  }
  const manifest = (await objects.readBlob(manifestEntry.oid)).toString();
  const files = await distributedBlobs(
    objects,
    top,
    parseModuleManifest(manifest, manifestFile),
    path,
    maxFiles,
  );
  const hashed = await Promise.all(files.map((file) => hashBlob(objects, file, path)));
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
 * @param top the entries of the module's tree
 * @throws RinglockError `refused-path`
 */
export async function distributedBlobs(
  objects: ObjectBatch,
  top: readonly TreeEntry[],
  manifest: ModuleManifest,
  path: string,
  maxFiles: number,
): Promise<ModuleBlob[]> {
  const files: ModuleBlob[] = [];
  await collectFiles(objects, top, '', files);
  return distributedFiles(manifest, files, path, maxFiles);
}

async function collectFiles(
  objects: ObjectBatch,
  entries: readonly TreeEntry[],
  prefix: string,
  found: ModuleBlob[],
): Promise<void> {
  const folders: Promise<void>[] = [];
  for (const { path, mode, oid } of entries) {
    if (mode !== '040000') found.push({ path: prefix + path, mode, oid });
    else {
      const below = objects.readTree(oid);
      folders.push(below.then((inner) => collectFiles(objects, inner, `${prefix}${path}/`, found)));
    }
  }
  await Promise.all(folders);
}

/** @throws RinglockError `refused-path` for a git-LFS pointer */
async function hashBlob(
  objects: ObjectBatch,
  { path, oid }: ModuleBlob,
  module: string,
): Promise<{ path: string; sha256: string; size: number }> {
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
