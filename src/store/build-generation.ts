import { chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import type { Incompatibility } from '../repo/graph.ts';
import type { Lock, LockEntry } from '../repo/lock.ts';
import { syncDirectory } from './atomic-file.ts';
import { type Generation, generationFiles, lockDigest } from './generation.ts';
import { generationFacts, generationPath, moduleDirectories, type StoreContext } from './layout.ts';
import { findMisplacement, linkedVersion, type ModulePlace, placeModule } from './module-link.ts';
import { readOnlyDirectory, readOnlyFile } from './module-tree.ts';
import { publishDirectory, withStaging } from './staging.ts';
import type { StoredVersion, VersionStore } from './version-store.ts';

/** Who asked for a generation, for its generation.json. */
export interface GenerationFacts {
  readonly commit: string | null;
  readonly operationId: string | null;
  readonly repository: string | null;
  readonly branch: string | null;
  /** What was left out because it cannot run (nothing). */
  readonly refused?: readonly Incompatibility[];
}

/**
 * Builds a generation in staging and moves it, complete, to its number; `current` stays.
 *
 * @param current what `current` shows: its intact modules are taken over without digesting them again
 * @throws RinglockError `version-missing`, `directory-clash`, `disk-full` and its like
 */
export async function buildGeneration(
  context: StoreContext,
  store: VersionStore,
  number: number,
  lock: Lock,
  facts: GenerationFacts,
  current: Generation | undefined,
): Promise<Generation> {
  const directories = moduleDirectories(lock);
  const generation: Generation = {
    ...facts,
    refused: facts.refused ?? [],
    number,
    path: generationPath(context.root, number),
    lock,
    lockDigest: lockDigest(lock),
    link: context.link,
    createdAt: context.now().toISOString(),
  };
  return withStaging(context, async (staged) => {
    const parents = new Set<string>();
    for (const [alias, entry] of lock.modules) {
      const place = placeOf(generation, alias, directories.get(alias) ?? alias, entry, staged);
      const stored = await chooseVersion(context, store, place, current);
      await makeParents(staged, place.directory, parents);
      await context.fault('place a module');
      await placeModule(store, place, stored);
    }
    await writeFacts(context, staged, generation);
    for (const parent of [...parents].reverse()) {
      await chmod(join(staged, parent), readOnlyDirectory);
      await syncDirectory(join(staged, parent));
    }
    await syncDirectory(staged);
    await publishDirectory(context, staged, generation.path);
    return generation;
  });
}

function placeOf(
  generation: Generation,
  alias: string,
  directory: string,
  { version, sha256 }: LockEntry,
  path = generation.path,
): ModulePlace {
  return {
    mode: generation.link,
    generation: path,
    directory,
    pin: { alias, version, sha256 },
  };
}

/** Every module's place in a generation. */
export function modulePlaces(generation: Generation): ModulePlace[] {
  const directories = moduleDirectories(generation.lock);
  return [...generation.lock.modules].map(([alias, entry]) =>
    placeOf(generation, alias, directories.get(alias) ?? alias, entry),
  );
}

async function chooseVersion(
  context: StoreContext,
  store: VersionStore,
  { pin }: ModulePlace,
  current: Generation | undefined,
): Promise<StoredVersion> {
  const entry = current?.lock.modules.get(pin.alias);
  if (
    current?.link === 'symlink' &&
    entry?.sha256 === pin.sha256 &&
    entry.version === pin.version
  ) {
    const place = placeOf(current, pin.alias, entry.directory ?? pin.alias, entry);
    if ((await findMisplacement(context.root, store, place)) === undefined) {
      const linked = await linkedVersion(context.root, place);
      if (linked !== undefined) return linked;
    }
  }
  const stored = await store.findVerified(pin);
  if (stored !== undefined) return stored;
  throw environmentFailed(
    'version-missing',
    `${pin.alias} ${pin.version} (${pin.sha256}) is not in the version store of ${context.root}, or damaged there`,
    { hint: 'The next tick stages it again.' },
  );
}

async function makeParents(staged: string, directory: string, made: Set<string>): Promise<void> {
  const segments = directory.split('/').slice(0, -1);
  for (let length = 1; length <= segments.length; length++) {
    const parent = segments.slice(0, length).join('/');
    if (made.has(parent)) continue;
    await mkdir(join(staged, parent), { mode: 0o755 });
    made.add(parent);
  }
}

async function writeFacts(
  { fault }: StoreContext,
  staged: string,
  generation: Generation,
): Promise<void> {
  const directory = join(staged, generationFacts);
  await mkdir(directory, { mode: 0o755 });
  for (const [name, text] of generationFiles(generation)) {
    await fault('write a fact of the generation');
    const file = await open(join(directory, name), 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.chmod(readOnlyFile(false));
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await chmod(directory, readOnlyDirectory);
  await syncDirectory(directory);
}
