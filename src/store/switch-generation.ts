import { rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import { syncDirectory } from './atomic-file.ts';
import { modulePlaces } from './build-generation.ts';
import { diskFailed } from './disk-error.ts';
import { type Generation, readCurrentLink, readGeneration } from './generation.ts';
import { currentPath, generationName, type StoreContext } from './layout.ts';
import { findMisplacement, type ModulePlace, replaceModule } from './module-link.ts';
import { stagingName } from './staging.ts';
import type { SwitchLog } from './switch-log.ts';
import type { VersionStore } from './version-store.ts';

/**
 * Shows a generation: the one atomic rename of `current`, after seeing that all of it is there.
 *
 * @throws RinglockError `generation-damaged` when it is not there or a version of it is lost,
 *   `foreign-current`, `disk-full` and its like; `current` is then as it was
 */
export async function switchGeneration(
  context: StoreContext,
  store: VersionStore,
  log: SwitchLog,
  generation: Pick<Generation, 'number' | 'path'>,
): Promise<void> {
  await context.requireOwned();
  const shown = await readCurrentLink(context.root);
  if (shown !== generation.number) await mendGeneration(context, store, generation);
  await log.noteSwitch(generation.number);
  await pointCurrentAt(context, generation.number);
}

/** Replaces the link `current`, and nothing else. */
export async function pointCurrentAt(context: StoreContext, number: number): Promise<void> {
  const path = currentPath(context.root);
  try {
    const beside = stagingName(context.root);
    await context.fault('make the new current');
    await symlink(join('generations', generationName(number)), beside);
    await context.fault('switch current');
    await rename(beside, path);
    await context.fault('sync the root');
    await syncDirectory(context.root);
  } catch (error) {
    throw diskFailed(error, path);
  }
}

/**
 * Makes a generation that is not shown whole again, from versions that were staged anew since it was
 * built.
 */
async function mendGeneration(
  context: StoreContext,
  store: VersionStore,
  { number, path }: Pick<Generation, 'number' | 'path'>,
): Promise<void> {
  const generation = await readGeneration(context.root, number);
  if (generation === undefined) {
    throw environmentFailed('generation-damaged', `${path} is not a complete generation`, {
      hint: 'It was changed or removed by hand; the next tick builds another one.',
    });
  }
  for (const place of modulePlaces(generation)) {
    const wrong = await mendModule(context, store, place);
    if (wrong !== undefined) {
      throw environmentFailed('generation-damaged', `${path} is damaged: ${wrong}`, {
        hint: 'The next tick stages the version again and builds another generation.',
      });
    }
  }
}

/**
 * Puts a healthy version into a module's place if what is there is none.
 *
 * @returns what is still wrong, in words
 */
export async function mendModule(
  context: StoreContext,
  store: VersionStore,
  place: ModulePlace,
): Promise<string | undefined> {
  const wrong =
    (await findMisplacement(context.root, store, place)) ?? (await findSharedDamage(store, place));
  if (wrong === undefined) return undefined;
  const stored = await store.findVerified(place.pin);
  if (stored === undefined) return wrong;
  await replaceModule(context, store, place, stored);
  return undefined;
}

/** Hard links share their bytes: what damaged a version damaged the generations that have it. */
async function findSharedDamage(
  store: VersionStore,
  place: ModulePlace,
): Promise<string | undefined> {
  if (place.mode !== 'hardlink') return undefined;
  for (const stored of await store.candidates(place.pin)) {
    if ((await store.damagedAt(stored)) === undefined) continue;
    return store.compareTree(join(place.generation, place.directory), stored, place.pin);
  }
  return undefined;
}
