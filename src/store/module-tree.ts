import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';
import { contentDigest, type DigestedFile } from '../digest/content-digest.ts';
import { syncDirectory } from './atomic-file.ts';
import { isAbsent } from './disk-error.ts';

/** What stands below a directory. */
export interface TreeListing {
  /** Regular files, relative and `/`-separated. */
  readonly files: readonly string[];
  /** Directories below it, each after its parent. */
  readonly directories: readonly string[];
  /** Links, sockets and the like. */
  readonly others: readonly string[];
}

/** Lists a directory without following links. */
export async function listTree(path: string): Promise<TreeListing> {
  const files: string[] = [];
  const directories: string[] = [];
  const others: string[] = [];
  const pending = [''];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const entry of await readdir(join(path, at), { withFileTypes: true })) {
      const name = at === '' ? entry.name : `${at}/${entry.name}`;
      if (entry.isDirectory()) {
        directories.push(name);
        pending.push(name);
      } else if (entry.isFile()) files.push(name);
      else others.push(name);
    }
  }
  return { files, directories, others };
}

export interface TreeDigest {
  /** Content digest of the regular files, `sha256:<hex>`. */
  readonly digest: string;
  readonly files: readonly DigestedFile[];
  readonly others: readonly string[];
}

/** Digests what really stands below a directory; a few files at a time, in constant memory. */
export async function digestTree(path: string): Promise<TreeDigest> {
  const { files: paths, others } = await listTree(path);
  const limit = pLimit(8);
  const files = await Promise.all(
    paths.map((file) =>
      limit(async () => ({ path: file, sha256: await hashFile(join(path, file)) })),
    ),
  );
  return { digest: contentDigest(files), files, others };
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Modes of everything immutable: readable by any user, writable by none. */
export const readOnlyDirectory = 0o555;
export const readOnlyFile = (executable: boolean) => (executable ? 0o555 : 0o444);

/** Makes a directory that any user may read, whatever the umask; one that is there stays as it is. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  await chmod(path, 0o755);
  await syncDirectory(dirname(path));
}

/** Removes a tree that may be read-only; nothing there is fine. */
export async function removeTree(path: string): Promise<void> {
  try {
    if ((await lstat(path)).isDirectory()) await makeRemovable(path);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    return;
  }
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

async function makeRemovable(path: string): Promise<void> {
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeRemovable(join(path, entry.name));
  }
}
