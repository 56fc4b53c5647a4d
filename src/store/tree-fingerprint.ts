import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { isAbsent } from './disk-error.ts';
import { listTree } from './module-tree.ts';

/**
 * A short word for what stat says of everything below a directory (paths, sizes, times of change of the
 * content), without reading a file: as long as it stays, the content most probably did. Undefined where
 * no directory is.
 */
export async function treeFingerprint(path: string): Promise<string | undefined> {
  try {
    if (!(await lstat(path)).isDirectory()) return undefined;
    const { files, others } = await listTree(path);
    const limit = pLimit(16);
    const lines = await Promise.all(
      [...files, ...others].map((file) => limit(() => describe(path, file))),
    );
    return createHash('sha256').update(lines.sort().join('')).digest('hex').slice(0, 32);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function describe(path: string, file: string): Promise<string> {
  const { size, mtimeMs } = await lstat(join(path, file));
  return `${file}\0${size}\0${mtimeMs}\n`;
}
