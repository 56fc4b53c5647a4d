import { readdir } from 'node:fs/promises';
import { diskFailed, isAbsent } from '../store/disk-error.ts';

/**
 * The names in a directory, none of one that is absent. One that cannot be read is not an empty one: what
 * is in it would be taken for lost.
 *
 * @throws RinglockError `disk-…`
 */
export async function directoryNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw diskFailed(error, directory);
  }
}
