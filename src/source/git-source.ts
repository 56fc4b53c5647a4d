import { RinglockError } from '../errors.ts';
import { firstMissingBelow } from '../git/completeness.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Remote } from '../git/remote.ts';
import type { ModuleSource } from './module-source.ts';
import { moduleLabel, readModuleTree } from './module-tree.ts';

export interface GitSourceOptions {
  readonly maxFiles?: number;
  /** Trees of versions installed now: what a new version shares with them is not fetched again. */
  readonly have?: readonly string[];
}

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
      const trees = modules.map(({ entry }) => entry.tree).filter((tree) => tree !== null);
      if (await fetch(trees)) return;
      // One that the server lacks fails the request for all.
      for (const tree of trees) await fetch([tree]);
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
