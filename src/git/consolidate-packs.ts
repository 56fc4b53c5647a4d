import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PackIndex } from './pack-index.ts';

/** Every fetch makes a pack; looking an object up costs one look into each. */
const mostSmallPacks = 64;
/** Bytes; larger ones stay as they are, with the deltas that the server made. */
const smallPack = 1024 * 1024;

/**
 * Puts the objects of many small packs into one. Nothing may be reading meanwhile.
 *
 * @param repack makes a pack of the objects with these ids, and publishes it
 */
export async function consolidateSmallPacks(
  gitdir: string,
  repack: (oids: readonly string[]) => Promise<void>,
): Promise<void> {
  const directory = join(gitdir, 'objects/pack');
  const small: string[] = [];
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.pack')) continue;
    if ((await stat(join(directory, name))).size < smallPack) small.push(name.slice(0, -5));
  }
  if (small.length <= mostSmallPacks) return;
  const oids = new Set<string>();
  for (const name of small) {
    const index = await PackIndex.read(join(directory, `${name}.idx`));
    for (const oid of index.oids()) oids.add(oid);
  }
  const before = new Set(await readdir(directory));
  await repack([...oids]);
  const added = (await readdir(directory)).filter((name) => !before.has(name));
  // The same objects always make the same pack: without a new one, it is among the small ones.
  if (added.length === 0) return;
  for (const name of small) {
    // The index first: a pack without one is deleted when the database is opened.
    await rm(join(directory, `${name}.idx`));
    await rm(join(directory, `${name}.pack`));
  }
}
