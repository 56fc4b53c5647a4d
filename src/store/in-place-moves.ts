import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed, refused } from '../errors.ts';
import { isAbsent } from './disk-error.ts';
import type { Generation } from './generation.ts';
import type { Move, PlacedModule } from './in-place-state.ts';
import { moduleDirectories } from './layout.ts';
import { digestTree } from './module-tree.ts';
import { isInside } from './path-inside.ts';
import { treeFingerprint } from './tree-fingerprint.ts';
import type { VersionPin } from './version-store.ts';

export interface Difference {
  /** What has to happen, removals first. */
  readonly moves: readonly Move[];
  /** Directories that are already as pinned, those that somebody else put there among them. */
  readonly kept: ReadonlyMap<string, PlacedModule>;
}

/**
 * What separates a modules directory from a generation. Looked at are directories that the generation
 * names, those of the generation before, and those known to be ours; no other name counts.
 *
 * @param known what we put or found there; a directory whose files stat as they did is not read again
 * @throws RinglockError `modules-dir-overlap`, `modules-dir-parent`
 */
export async function compareWithGeneration(
  { root, modulesDirectory }: { readonly root: string; readonly modulesDirectory: string },
  known: ReadonlyMap<string, PlacedModule>,
  before: Generation | undefined,
  next: Generation,
): Promise<Difference> {
  const wanted = pinsByDirectory(next);
  const removed = [...known.keys(), ...(before === undefined ? [] : pinsByDirectory(before).keys())]
    // What lies in a module of the next generation is that module's, or goes with what was there.
    .filter((name) => ![...wanted.keys()].some((directory) => isInside(name, directory)));
  const moves: Move[] = [];
  const kept = new Map<string, PlacedModule>();
  for (const directory of [...new Set(removed)].sort()) {
    await requirePlace(root, modulesDirectory, directory);
    const found = await lookAt(join(modulesDirectory, directory));
    if (found !== null) moves.push({ directory, before: found.word, after: null });
  }
  for (const [directory, pin] of wanted) {
    await requirePlace(root, modulesDirectory, directory);
    const place = join(modulesDirectory, directory);
    const goesWithOther = removed.some((other) => isInside(directory, other));
    const isKnown = !goesWithOther && (await isAsKnown(place, known.get(directory), pin));
    const found = isKnown || goesWithOther ? null : await lookAt(place);
    if (isKnown || (found?.word === pin.sha256 && found.isPlain)) {
      const fingerprint = (await treeFingerprint(place)) ?? '';
      kept.set(directory, { ...pin, fingerprint });
    } else moves.push({ directory, before: found?.word ?? null, after: pin });
  }
  return { moves, kept };
}

/** Directory → what a generation has there. */
export function pinsByDirectory({ lock }: Generation): ReadonlyMap<string, VersionPin> {
  const pins = new Map<string, VersionPin>();
  for (const [alias, directory] of moduleDirectories(lock)) {
    const entry = lock.modules.get(alias);
    if (entry === undefined) continue;
    pins.set(directory, { alias, version: entry.version, sha256: entry.sha256 });
  }
  return pins;
}

async function isAsKnown(
  place: string,
  known: PlacedModule | undefined,
  pin: VersionPin,
): Promise<boolean> {
  if (known?.sha256 !== pin.sha256) return false;
  return (await treeFingerprint(place)) === known.fingerprint;
}

/** Null for nothing; else the word of Move.before, and whether it holds files and directories only. */
async function lookAt(path: string): Promise<{ word: string; isPlain: boolean } | null> {
  try {
    if (!(await lstat(path)).isDirectory()) return { word: 'other', isPlain: false };
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
  const { digest, others } = await digestTree(path);
  return { word: digest, isPlain: others.length === 0 };
}

async function requirePlace(
  root: string,
  modulesDirectory: string,
  directory: string,
): Promise<void> {
  const place = join(modulesDirectory, directory);
  if (isInside(root, place) || isInside(place, root)) {
    throw refused(
      'modules-dir-overlap',
      `${place}, where the lock has a module, and the root ${root} lie one inside the other`,
      { hint: 'Give --root a directory that is not below one of the modules.' },
    );
  }
  const segments = directory.split('/');
  for (let length = 1; length < segments.length; length++) {
    const parent = join(modulesDirectory, ...segments.slice(0, length));
    const found = await lstat(parent).catch(() => undefined);
    if (found === undefined || found.isDirectory()) continue;
    throw environmentFailed(
      'modules-dir-parent',
      `${parent} is ${found.isSymbolicLink() ? 'a symbolic link' : 'no directory'}, expected a directory: the lock has a module at ${place}`,
      { hint: 'Move it away, or make it a real directory.' },
    );
  }
}
