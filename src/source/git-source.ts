import { RinglockError } from '../errors.ts';
import { firstMissingBelow } from '../git/completeness.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Remote } from '../git/remote.ts';
import type { ModuleSource, WantedModule } from './module-source.ts';
import { moduleLabel, readModuleTree } from './module-tree.ts';

export interface GitSourceOptions {
  readonly maxFiles?: number;
  /** Trees of versions installed now: what a new version shares with them is not fetched again. */
  readonly have?: readonly string[];
}

/** A pack is indexed in memory: its size is what the first install of a large platform would need. */
const batchBytes = 8 * 1024 * 1024;
const batchFiles = 4_000;

/** Modules from the git server, by exactly the tree that the lock names. */
export function gitSource(
  remote: Remote,
  database: ObjectDatabase,
  { maxFiles, have = [] }: GitSourceOptions = {},
): ModuleSource {
  /** @returns whether the server has them all */
  const fetch = async (trees: readonly string[]): Promise<boolean> => {
    try {
      await remote.fetchTrees(trees, { have });
      return true;
    } catch (error) {
      if (error instanceof RinglockError && error.code === 'remote-lacks-object') return false;
      throw error;
    }
  };
  return {
    name: 'git',
    prefetch: async (modules) => {
      for (const batch of inBatches(modules)) {
        const trees = batch.map(({ entry }) => entry.tree).filter((tree) => tree !== null);
        if (await fetch(trees)) continue;
        // One that the server lacks fails the request for all.
        for (const tree of trees) await fetch([tree]);
      }
    },
    read: async (module) => {
      const { tree } = module.entry;
      if (tree === null) return undefined;
      const isHere = (await firstMissingBelow(database, tree)) === undefined;
      if (!isHere && !(await fetch([tree]))) return undefined;
      return readModuleTree(database, tree, moduleLabel(module), maxFiles);
    },
  };
}

/** As few as stay below the limits by what the lock says, a larger module by itself. */
function* inBatches(modules: readonly WantedModule[]): Generator<readonly WantedModule[]> {
  let batch: WantedModule[] = [];
  let bytes = 0;
  let files = 0;
  for (const module of modules) {
    const { size_bytes, file_count } = module.entry;
    const isFull = bytes + size_bytes > batchBytes || files + file_count > batchFiles;
    if (isFull && batch.length > 0) {
      yield batch;
      [batch, bytes, files] = [[], 0, 0];
    }
    batch.push(module);
    bytes += size_bytes;
    files += file_count;
  }
  if (batch.length > 0) yield batch;
}
