import { modulePlaces } from './build-generation.ts';
import {
  type Generation,
  listGenerationNumbers,
  readCurrentLink,
  readGeneration,
} from './generation.ts';
import { generationPath, type StoreContext } from './layout.ts';
import { linkedVersion } from './module-link.ts';
import { retireDirectory } from './staging.ts';
import { mendModule } from './switch-generation.ts';
import type { Shown, SwitchLog } from './switch-log.ts';
import type { StoredVersion, VersionPin, VersionStore } from './version-store.ts';

export interface RetentionRules {
  /** How many visible generations to keep, the current one among them. */
  readonly keepGenerations: number;
  /** How long one that was switched out stays: processes hold paths they once resolved. */
  readonly retainForMs: number;
}

export interface Garbage {
  /** Numbers of the generations removed. */
  readonly generations: readonly number[];
  /** Versions of which no directory is left. */
  readonly versions: readonly VersionPin[];
}

/**
 * Removes generations that the rules do not keep, then versions that no kept generation uses;
 * generations that are kept get healthy versions for damaged ones where they have been staged again.
 *
 * @param held numbers of generations and directories of versions that an operation under way needs
 */
export async function collectGarbage(
  context: StoreContext,
  store: VersionStore,
  log: SwitchLog,
  rules: RetentionRules,
  held: { readonly generations: readonly number[]; readonly versions: ReadonlySet<string> },
): Promise<Garbage> {
  await context.requireOwned();
  const current = await readCurrentLink(context.root);
  const kept = keptNumbers(log.shown, rules, context.now());
  for (const number of held.generations) kept.add(number);
  if (current !== undefined) kept.add(current);
  const numbers = await listGenerationNumbers(context.root);
  const removed = numbers.filter((number) => !kept.has(number));
  for (const number of removed) {
    await retireDirectory(context, generationPath(context.root, number));
  }
  await log.forget(removed);
  const generations: Generation[] = [];
  for (const number of numbers.filter((number) => kept.has(number))) {
    const generation = await readGeneration(context.root, number);
    // What such a directory uses is unknown, and it may be the one being served: touch no version.
    if (generation === undefined) return { generations: removed, versions: [] };
    if (number !== current) await mend(context, store, generation);
    generations.push(generation);
  }
  const versions = await removeUnusedVersions(context, store, generations, rules, held.versions);
  return { generations: removed, versions };
}

function keptNumbers(
  shown: ReadonlyMap<number, Shown>,
  { keepGenerations, retainForMs }: RetentionRules,
  now: Date,
): Set<number> {
  const newest = [...shown.keys()].sort((a, b) => b - a).slice(0, keepGenerations);
  const retained = [...shown].flatMap(([number, { leftAt }]) =>
    leftAt === null || now.getTime() - Date.parse(leftAt) < retainForMs ? [number] : [],
  );
  return new Set([...newest, ...retained]);
}

async function mend(
  context: StoreContext,
  store: VersionStore,
  generation: Generation,
): Promise<void> {
  for (const place of modulePlaces(generation)) await mendModule(context, store, place);
}

async function removeUnusedVersions(
  context: StoreContext,
  store: VersionStore,
  generations: readonly Generation[],
  { retainForMs }: RetentionRules,
  held: ReadonlySet<string>,
): Promise<VersionPin[]> {
  const pins = new Set<string>();
  const linked = new Set<string>(held);
  for (const place of generations.flatMap(modulePlaces)) {
    pins.add(pinKey(place.pin));
    const stored = await linkedVersion(context.root, place);
    if (stored !== undefined) linked.add(store.pathOf(stored));
  }
  const all = await store.list();
  const removed: { stored: StoredVersion; pin: VersionPin | undefined }[] = [];
  for (const { stored, pin } of all) {
    if (linked.has(store.pathOf(stored))) continue;
    const damagedAt = await store.damagedAt(stored);
    const isRecent =
      damagedAt !== undefined && context.now().getTime() - damagedAt.getTime() < retainForMs;
    const isPinned = pin !== undefined && damagedAt === undefined && pins.has(pinKey(pin));
    if (isRecent || isPinned) continue;
    await store.remove(stored);
    removed.push({ stored, pin });
  }
  const left = new Set(
    all
      .filter((version) => !removed.some(({ stored }) => stored === version.stored))
      .map(({ pin }) => pin && pinKey(pin)),
  );
  return removed.flatMap(({ pin }) => (pin === undefined || left.has(pinKey(pin)) ? [] : [pin]));
}

function pinKey({ alias, version, sha256 }: VersionPin): string {
  return `${alias} ${version} ${sha256}`;
}
