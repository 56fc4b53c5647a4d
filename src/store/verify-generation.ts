import { lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { modulePlaces } from './build-generation.ts';
import type { Generation } from './generation.ts';
import { digestTree } from './module-tree.ts';

/**
 * Whether every module of a generation has the bytes that its lock pins. Only reads, so that it also
 * answers for a root that this process cannot write to or does not own.
 *
 * @returns what is wrong, in words; undefined when nothing is
 */
export async function findWrongModule(generation: Generation): Promise<string | undefined> {
  for (const { directory, pin } of modulePlaces(generation)) {
    try {
      const path = await realpath(join(generation.path, directory));
      if (!(await lstat(path)).isDirectory()) return `${directory} is no directory`;
      const { digest, others } = await digestTree(path);
      if (digest !== pin.sha256 || others.length > 0) return `${directory} is not ${pin.sha256}`;
    } catch (error) {
      return `${directory} cannot be read: ${(error as Error).message}`;
    }
  }
  return undefined;
}
