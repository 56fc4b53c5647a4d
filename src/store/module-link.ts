import { chmod, copyFile, link, lstat, mkdir, readlink, rename, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { syncDirectory } from './atomic-file.ts';
import { type LinkMode, type StoreContext, versionsPath } from './layout.ts';
import { listTree, readOnlyDirectory, removeTree } from './module-tree.ts';
import { stagingName } from './staging.ts';
import type { StoredVersion, VersionPin, VersionStore } from './version-store.ts';

/** Where one module of one generation stands, and what it should be. */
export interface ModulePlace {
  readonly mode: LinkMode;
  /** Absolute path of the generation (or of the directory it is being built in, at the same depth). */
  readonly generation: string;
  /** Relative to the generation. */
  readonly directory: string;
  readonly pin: VersionPin;
}

/** Puts a stored version into a generation: one relative link, or a tree of hard links. */
export async function placeModule(
  store: VersionStore,
  place: ModulePlace,
  stored: StoredVersion,
): Promise<void> {
  const path = join(place.generation, place.directory);
  if (place.mode === 'symlink') await symlink(linkTarget(place.directory, stored), path);
  else await linkTree(store.pathOf(stored), path);
}

/** A generation is two levels below the root, like versions/<alias>, whatever the root's path. */
function linkTarget(directory: string, { alias, name }: StoredVersion): string {
  const up = '../'.repeat(directory.split('/').length + 1);
  return `${up}versions/${alias}/${name}`;
}

async function linkTree(from: string, to: string): Promise<void> {
  const { files, directories } = await listTree(from);
  await mkdir(to);
  for (const directory of directories) await mkdir(join(to, directory));
  for (const file of files) await linkOrCopy(join(from, file), join(to, file));
  for (const directory of [...directories].reverse()) {
    await chmod(join(to, directory), readOnlyDirectory);
    await syncDirectory(join(to, directory));
  }
  await chmod(to, readOnlyDirectory);
  await syncDirectory(to);
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // A file system allows so many links to a file (ext4: 65,000).
    if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error;
    await copyFile(from, to);
    await chmod(to, (await lstat(from)).mode & 0o777);
  }
}

/**
 * What is wrong with a module's place, in words, by looking at the link and its target only;
 * undefined when nothing is.
 */
export async function findMisplacement(
  root: string,
  store: VersionStore,
  place: ModulePlace,
): Promise<string | undefined> {
  const path = join(place.generation, place.directory);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return `${place.directory} is missing`;
  if (place.mode === 'hardlink') {
    return found.isDirectory() ? undefined : `${place.directory} is no directory`;
  }
  if (!found.isSymbolicLink()) return `${place.directory} is not the link that was made`;
  const target = await readlink(path);
  const stored = storedVersionOf(root, path, target);
  if (stored === undefined || !store.isNamedFor(stored, place.pin)) {
    return `${place.directory} is a link to ${target}`;
  }
  if (await store.isUsable(stored, place.pin)) return undefined;
  return (await store.damagedAt(stored)) === undefined
    ? `${target} is missing`
    : `${target} is damaged`;
}

/** The stored version that a module's link names, or undefined. */
export async function linkedVersion(
  root: string,
  place: ModulePlace,
): Promise<StoredVersion | undefined> {
  const path = join(place.generation, place.directory);
  try {
    return storedVersionOf(root, path, await readlink(path));
  } catch {
    return undefined;
  }
}

function storedVersionOf(root: string, link: string, target: string): StoredVersion | undefined {
  const segments = relative(versionsPath(root), join(dirname(link), target)).split('/');
  const [alias, name] = segments;
  return segments.length === 2 && alias !== undefined && alias !== '..' && name !== undefined
    ? { alias, name }
    : undefined;
}

/** Replaces a module's place in a generation that `current` does not show; for a link, in one step. */
export async function replaceModule(
  context: StoreContext,
  store: VersionStore,
  place: ModulePlace,
  stored: StoredVersion,
): Promise<void> {
  const path = join(place.generation, place.directory);
  const beside = stagingName(context.root);
  await context.fault('replace a module of an older generation');
  await makeParents(place);
  if (place.mode === 'hardlink') {
    await linkTree(store.pathOf(stored), beside);
    await chmod(beside, 0o755); // See publishDirectory().
    await removeTree(path);
  } else {
    await symlink(linkTarget(place.directory, stored), beside);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory()) await removeTree(path);
  }
  await rename(beside, path);
  if (place.mode === 'hardlink') await chmod(path, readOnlyDirectory);
  await closeParents(place);
}

async function makeParents({ generation, directory }: ModulePlace): Promise<void> {
  await chmod(generation, 0o755);
  let path = generation;
  for (const segment of directory.split('/').slice(0, -1)) {
    path = join(path, segment);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory()) await chmod(path, 0o755);
    else {
      await removeTree(path);
      await mkdir(path, { mode: 0o755 });
    }
  }
}

async function closeParents({ generation, directory }: ModulePlace): Promise<void> {
  const segments = directory.split('/').slice(0, -1);
  for (let length = segments.length; length >= 0; length--) {
    const path = join(generation, ...segments.slice(0, length));
    await chmod(path, readOnlyDirectory);
    await syncDirectory(path);
  }
}
