import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { moduleManifestFile } from '../digest/module-files.ts';
import { RinglockError, refused } from '../errors.ts';
import type { ObjectReader } from '../git/object-store.ts';
import type { Lock, LockEntry } from '../repo/lock.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import { readModuleManifest } from '../source/module-tree.ts';
import type { Root } from '../store/root.ts';

/**
 * Ranges and dependencies of every module of a lock, from the module's tree in the object database, else
 * from the version store.
 *
 * @throws RinglockError `manifest-mismatch` when a module.json contradicts the entry that pins it
 */
export async function readGraph(
  lock: Lock,
  root: Root,
  objects: ObjectReader,
): Promise<ReadonlyMap<string, ModuleManifest>> {
  const limit = pLimit(16);
  const modules = await Promise.all(
    [...lock.modules].map(([alias, entry]) =>
      limit(async (): Promise<[string, ModuleManifest]> => {
        const manifest = await readManifest(alias, entry, root, objects);
        requireAgreement(alias, entry, manifest, lock.ring);
        return [alias, manifest];
      }),
    ),
  );
  return new Map(modules);
}

/** The object database first: what it holds is checked by its ids, while a disk may have drifted. */
async function readManifest(
  alias: string,
  entry: LockEntry,
  root: Root,
  objects: ObjectReader,
): Promise<ModuleManifest> {
  const label = `${alias} ${entry.version}`;
  if (entry.tree !== null && (await objects.has(entry.tree))) {
    const found = await unlessMissing(readModuleManifest(objects, entry.tree, label));
    if (found !== undefined) return found;
  }
  const stored = await root.versionPath({ alias, version: entry.version, sha256: entry.sha256 });
  if (stored === undefined) {
    throw refused('no-source', `${label} is neither in the version store nor in git`, {
      hint:
        entry.tree === null
          ? 'Its lock entry names no git tree: write it again with ringlock lock.'
          : `Its tree ${entry.tree} cannot be found: ringlock verify says which entries are affected.`,
    });
  }
  const path = join(stored, moduleManifestFile);
  return parseModuleManifest(await readFile(path, 'utf8'), `${label}'s ${moduleManifestFile}`);
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof RinglockError && error.code === 'object-missing') return undefined;
    throw error;
  }
}

function requireAgreement(
  alias: string,
  entry: LockEntry,
  manifest: ModuleManifest,
  ring: string,
): void {
  if (manifest.alias === alias && manifest.version === entry.version) return;
  throw refused(
    'manifest-mismatch',
    `the lock of ${ring} pins ${alias} ${entry.version}, but the tree it names holds ${manifest.alias} ${manifest.version}`,
    { hint: `Write the entry again: ringlock lock --ring ${ring} --module ${alias}` },
  );
}
