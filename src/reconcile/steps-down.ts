import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { LockEntry } from '../repo/lock.ts';
import { isAbsent } from '../store/disk-error.ts';
import { listGenerationNumbers, readGeneration } from '../store/generation.ts';
import { moduleDirectories } from '../store/layout.ts';

/**
 * The steps down that leaving a version for another takes, last first, by what both have on the disk of
 * a root: names of migrations of the one that the other does not have.
 */
export async function nameStepsDown(
  root: string,
  alias: string,
  from: string,
  to: LockEntry,
): Promise<string[]> {
  const after = new Set(await stepsOf(root, alias, to.version));
  return (await stepsOf(root, alias, from)).filter((name) => !after.has(name)).reverse();
}

async function stepsOf(root: string, alias: string, version: string): Promise<string[]> {
  for (const number of (await listGenerationNumbers(root)).reverse()) {
    const generation = await readGeneration(root, number);
    if (generation?.lock.modules.get(alias)?.version !== version) continue;
    const directory = moduleDirectories(generation.lock).get(alias) ?? alias;
    return downFiles(join(generation.path, directory));
  }
  return [];
}

async function downFiles(module: string): Promise<string[]> {
  try {
    const names = await readdir(module, { recursive: true });
    return names
      .filter((name) => /(^|\/)\d+_[^/]+\.down\.sql$/.test(name))
      .map((name) => basename(name).replace(/\.down\.sql$/, ''))
      .sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
