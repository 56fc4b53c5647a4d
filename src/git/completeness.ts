import { environmentFailed } from '../errors.ts';
import type { ObjectReader } from './object-store.ts';

/** Objects to have: whole trees, or single objects. */
export interface WantedObjects {
  /** With all that is below them. */
  readonly trees: readonly string[];
  /** By themselves: blobs, commits, trees without what is below them. */
  readonly single: readonly string[];
}

/** The part of what is wanted that is not there, or not whole. */
export async function missingOf(
  reader: ObjectReader,
  wanted: WantedObjects,
): Promise<WantedObjects> {
  const trees: string[] = [];
  for (const tree of new Set(wanted.trees)) {
    if ((await firstMissingBelow(reader, tree)) !== undefined) trees.push(tree);
  }
  const single: string[] = [];
  for (const oid of new Set(wanted.single)) if (!(await reader.has(oid))) single.push(oid);
  return { trees, single };
}

/**
 * Refuses a fetch that did not bring what was asked for.
 *
 * @throws RinglockError `pack-lacks-object`
 */
export async function requireComplete(
  view: ObjectReader,
  wanted: WantedObjects,
  display: string,
): Promise<void> {
  const refuse = (oid: string, missing: string) =>
    environmentFailed(
      'pack-lacks-object',
      `${display} was asked for ${oid} and sent a pack without ${missing}`,
    );
  for (const oid of wanted.single) if (!(await view.has(oid))) throw refuse(oid, oid);
  for (const tree of wanted.trees) {
    const missing = await firstMissingBelow(view, tree);
    if (missing !== undefined) throw refuse(tree, missing);
  }
}

/** The first object at or below a tree that cannot be had, or undefined when it is complete. */
export async function firstMissingBelow(
  reader: ObjectReader,
  tree: string,
): Promise<string | undefined> {
  const pending = [tree];
  const seen = new Set<string>();
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    if (seen.has(oid)) continue;
    seen.add(oid);
    if (!(await reader.has(oid))) return oid;
    for (const entry of await reader.readTree(oid)) {
      if (entry.mode === treeMode) pending.push(entry.oid);
      // A submodule's commit is in another repository.
      else if (entry.mode !== gitlinkMode && !seen.has(entry.oid)) {
        seen.add(entry.oid);
        if (!(await reader.has(entry.oid))) return entry.oid;
      }
    }
  }
  return undefined;
}

export const treeMode = '040000';
export const gitlinkMode = '160000';
