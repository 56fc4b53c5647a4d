import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modulePlaces } from './build-generation.ts';
import { type Generation, generationFiles } from './generation.ts';
import { generationFacts, type StoreContext } from './layout.ts';
import { findMisplacement, linkedVersion, type ModulePlace } from './module-link.ts';
import type { VersionStore } from './version-store.ts';

/** `links`: a stat of each link and its target; `content`: every file digested. */
export type DriftLevel = 'links' | 'content';

/** Key of drift that belongs to no module: a foreign or changed file of the generation itself. */
export const generationDrift = '.';

/**
 * What differs between a generation and what was built, alias (or `.`) → words. A version whose files
 * are found changed is marked damaged, so that it is not used again and has to be staged anew.
 */
export async function findDrift(
  context: StoreContext,
  store: VersionStore,
  generation: Generation,
  level: DriftLevel,
): Promise<ReadonlyMap<string, string>> {
  const drift = new Map<string, string>();
  const places = modulePlaces(generation);
  for (const place of places) {
    const words =
      (await findMisplacement(context.root, store, place)) ??
      (level === 'content' ? await findContentDrift(context, store, place) : undefined);
    if (words !== undefined) drift.set(place.pin.alias, words);
  }
  const words = [
    ...(await findForeignNames(generation, places)),
    ...(await findFactDrift(generation, level)),
  ];
  if (words.length > 0) drift.set(generationDrift, words.slice(0, 5).join(', '));
  return drift;
}

async function findContentDrift(
  context: StoreContext,
  store: VersionStore,
  place: ModulePlace,
): Promise<string | undefined> {
  const linked = await linkedVersion(context.root, place);
  if (linked !== undefined) return store.findDamage(linked, place.pin);
  const [stored] = await store.candidates(place.pin);
  const path = join(place.generation, place.directory);
  const difference = await store.compareTree(path, stored, place.pin);
  // The file may have been replaced here alone, or changed for all that share it.
  if (difference !== undefined) {
    for (const candidate of await store.candidates(place.pin)) {
      if (await store.isUsable(candidate, place.pin)) await store.findDamage(candidate, place.pin);
    }
  }
  return difference;
}

/** Names that no module of the generation explains, beside the modules and above them. */
async function findForeignNames(
  { path }: Generation,
  places: readonly ModulePlace[],
): Promise<string[]> {
  const expected = new Map<string, Set<string>>([['', new Set([generationFacts])]]);
  for (const { directory } of places) {
    let parent = '';
    for (const segment of directory.split('/')) {
      expected.set(parent, (expected.get(parent) ?? new Set()).add(segment));
      parent = parent === '' ? segment : `${parent}/${segment}`;
    }
  }
  const words: string[] = [];
  for (const [parent, names] of expected) {
    for (const name of await readdir(join(path, parent)).catch(() => [])) {
      if (!names.has(name)) words.push(`${join(parent, name)} was added`);
    }
  }
  return words.sort();
}

async function findFactDrift(generation: Generation, level: DriftLevel): Promise<string[]> {
  const directory = join(generation.path, generationFacts);
  const files = generationFiles(generation);
  const words: string[] = [];
  for (const [name, text] of files) {
    const path = join(directory, name);
    if (level === 'links') {
      const found = await lstat(path).catch(() => undefined);
      if (found?.isFile()) continue;
    } else if ((await readFile(path, 'utf8').catch(() => undefined)) === text) continue;
    words.push(`${generationFacts}/${name} is not as it was written`);
  }
  for (const name of await readdir(directory).catch(() => [])) {
    if (!files.has(name)) words.push(`${generationFacts}/${name} was added`);
  }
  return words;
}
