import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackagedModule } from '../source/registry/registry.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { diskFailed } from '../store/disk-error.ts';

/**
 * Writes a package's three files into a directory, which is made where it is missing. The archive comes
 * last: where it is, what says of it is there too.
 *
 * @returns their paths
 * @throws RinglockError `disk-full` and its like
 */
export async function writePackage(
  directory: string,
  { name, version, zip, sha256, manifest }: PackagedModule,
): Promise<readonly string[]> {
  const archive = `${name}-${version}.zip`;
  const sum = `${sha256.replace(/^sha256:/, '')}  ${archive}\n`;
  const files: [string, string | Uint8Array][] = [
    [join(directory, 'MANIFEST.json'), manifest],
    [join(directory, `${archive}.sha256`), sum],
    [join(directory, archive), zip],
  ];
  try {
    await mkdir(directory, { recursive: true });
  } catch (error) {
    throw diskFailed(error, directory);
  }
  for (const [path, content] of files) await writeFileAtomically(path, content);
  return files.map(([path]) => path).reverse();
}
