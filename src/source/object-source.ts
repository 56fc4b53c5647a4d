import { firstMissingBelow } from '../git/completeness.ts';
import type { ObjectReader } from '../git/object-store.ts';
import type { ModuleSource } from './module-source.ts';
import { moduleLabel, readModuleTree } from './module-tree.ts';

/** Modules whose whole tree is in the object database already. */
export function objectSource(reader: ObjectReader, maxFiles?: number): ModuleSource {
  return {
    name: 'object-store',
    read: async (module) => {
      const { entry } = module;
      if (entry.tree === null) return undefined;
      if ((await firstMissingBelow(reader, entry.tree)) !== undefined) return undefined;
      return readModuleTree(reader, entry.tree, moduleLabel(module), maxFiles);
    },
  };
}
