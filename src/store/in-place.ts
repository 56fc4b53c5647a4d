import { randomBytes } from 'node:crypto';
import { lstat, readdir, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { badInput, environmentFailed, type RinglockError } from '../errors.ts';
import { syncDirectory } from './atomic-file.ts';
import { copyTree } from './copy-tree.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import type { DriftLevel } from './drift.ts';
import { type Generation, readCurrentLink, readGeneration } from './generation.ts';
import { compareWithGeneration, pinsByDirectory } from './in-place-moves.ts';
import {
  type InPlaceState,
  type Move,
  ownDirectory,
  type PendingSwitch,
  type PlacedModule,
  readInPlaceState,
  workPath,
  writeInPlaceState,
} from './in-place-state.ts';
import {
  makeWorkDirectories,
  removeEmptyParents,
  swapBack,
  swapIn,
  swapPaths,
} from './in-place-swap.ts';
import { ownersPath, type StoreContext } from './layout.ts';
import { digestTree, makeDirectory, removeTree } from './module-tree.ts';
import { type Owner, takeRoot } from './owner.ts';
import { isInside } from './path-inside.ts';
import { treeFingerprint } from './tree-fingerprint.ts';
import type { VersionPin, VersionStore } from './version-store.ts';

/**
 * Opens a directory that applications read modules from where they cannot follow `current`: takes sole
 * ownership of it, and finishes or restores what a killed switch left, by what `current` shows.
 *
 * @throws RinglockError `modules-dir-missing`, `modules-dir-not-a-directory`, `modules-dir-not-absolute`,
 *   `modules-dir-overlap`, `modules-dir-state-damaged`, `root-owned`, `disk-read-only` and its like
 */
export async function openModulesDirectory(
  context: StoreContext,
  store: VersionStore,
  asked: string,
  heartbeatMs?: number,
): Promise<ModulesDirectory> {
  const path = await requireModulesDirectory(context.root, asked);
  try {
    const own = ownDirectory(path);
    for (const part of [own, ownersPath(own), workPath(path)]) await makeDirectory(part);
    const owner = await takeRoot(own, heartbeatMs);
    try {
      const state = await readInPlaceState(path);
      const directory = new ModulesDirectory({ context, store, path, owner }, state);
      await directory.settle();
      return directory;
    } catch (error) {
      await owner.release();
      throw error;
    }
  } catch (error) {
    throw diskFailed(error, path);
  }
}

async function requireModulesDirectory(root: string, asked: string): Promise<string> {
  if (!isAbsolute(asked)) {
    throw badInput('modules-dir-not-absolute', `${asked} is relative, expected an absolute path`);
  }
  let path: string;
  try {
    path = await realpath(asked);
    if (!(await lstat(path)).isDirectory()) {
      throw badInput('modules-dir-not-a-directory', `${asked} is a file, expected a directory`, {
        hint: 'Give --modules-dir the directory that the application reads modules from.',
      });
    }
  } catch (error) {
    if (!isAbsent(error)) throw diskFailed(error, asked);
    throw badInput('modules-dir-missing', `${asked} is not there, expected a directory`, {
      hint: 'Give --modules-dir the directory that the application reads modules from, or make it.',
    });
  }
  if (isInside(path, root) || isInside(root, ownDirectory(path))) {
    throw badInput('modules-dir-overlap', `${path} and the root ${root} lie one inside the other`, {
      hint: 'Give --root and --modules-dir directories of their own.',
    });
  }
  return path;
}

interface Parts {
  readonly context: StoreContext;
  readonly store: VersionStore;
  /** Absolute, links resolved. */
  readonly path: string;
  readonly owner: Owner;
}

/**
 * A directory of real module directories that is made equal to the generation each time that `current`
 * is switched. Every new module is staged and verified there before the first is moved; the moves are
 * written ahead, and `current` is switched after them. So `current` tells what a killed or failed switch
 * is to end in: if it shows the new generation the moves stand, else all of them are undone.
 */
export class ModulesDirectory {
  readonly #parts: Parts;
  #state: InPlaceState;

  constructor(parts: Parts, state: InPlaceState) {
    this.#parts = parts;
    this.#state = state;
  }

  /**
   * Moves every module that differs from a generation, then has `current` switched.
   *
   * @param show switches `current`
   * @throws RinglockError of show(), the disk or the store; every module is then as it was, and
   *   `modules-dir-not-restored` when that failed too, which the next switch or start tries again
   */
  async switchTo(number: number, show: () => Promise<void>): Promise<void> {
    const { context, owner, path } = this.#parts;
    await context.requireOwned();
    await owner.requireOwned();
    await this.settle().catch((error) => {
      throw diskFailed(error, path);
    });
    const [from, next] = [
      await readCurrentLink(context.root),
      await readGeneration(context.root, number),
    ];
    if (next === undefined) return show(); // which says what is wrong with it
    const before = from === undefined ? undefined : await readGeneration(context.root, from);
    const where = { root: context.root, modulesDirectory: path };
    const id = randomBytes(8).toString('hex');
    let kept: ReadonlyMap<string, PlacedModule>;
    let pending: PendingSwitch;
    try {
      const difference = await compareWithGeneration(where, this.#state.modules, before, next);
      kept = difference.kept;
      pending = { id, from: from ?? null, to: number, moves: difference.moves };
      if (pending.moves.length > 0) await this.#move(pending);
      await show();
    } catch (error) {
      throw await this.#undo(error);
    }
    // What is visible is visible: whatever fails now is tried again before the next switch.
    await this.#finish(pending, kept, { isVerified: true }).catch(() => {});
  }

  /**
   * What differs from a generation, alias → words. At level `links`, only files whose size or time
   * changed since they were last seen are read.
   */
  async findDrift(generation: Generation, level: DriftLevel): Promise<Map<string, string>> {
    const drift = new Map<string, string>();
    for (const [directory, pin] of pinsByDirectory(generation)) {
      const words = await this.#findModuleDrift(directory, pin, level);
      if (words !== undefined) drift.set(pin.alias, words);
    }
    return drift;
  }

  /** Ends a switch that was cut off: see the class. */
  async settle(): Promise<void> {
    const { context, path } = this.#parts;
    const { pending, modules } = this.#state;
    if (pending !== null) {
      // Going to where it already was, `current` tells nothing, and what was there is safe to have.
      const isShown =
        pending.from !== pending.to && (await readCurrentLink(context.root)) === pending.to;
      if (isShown) await this.#finish(pending, modules, { isVerified: false });
      else await this.#restore(pending);
    }
    for (const left of await leftovers(path)) {
      await context.fault('clean the modules directory');
      await removeTree(left);
    }
  }

  /** Gives the directory up. */
  async close(): Promise<void> {
    await this.#parts.owner.release();
  }

  async #move(pending: PendingSwitch): Promise<void> {
    const { context } = this.#parts;
    await makeWorkDirectories(this.#workOf(pending));
    for (const [index, { after }] of pending.moves.entries()) {
      if (after !== null) await this.#stage(pending, index, after);
    }
    await this.#write({ ...this.#state, pending });
    await context.requireOwned();
    await this.#parts.owner.requireOwned();
    for (const [index, move] of pending.moves.entries()) {
      await swapIn(this.#pathsOf(pending, index, move), move, context.fault);
    }
  }

  async #stage(pending: PendingSwitch, index: number, pin: VersionPin): Promise<void> {
    const { context, store, path } = this.#parts;
    const { staged } = swapPaths(path, this.#workOf(pending), index);
    const stored = await store.findVerified(pin);
    if (stored === undefined) throw missing(context.root, pin, 'it is not there');
    await context.fault('stage a module');
    await copyTree(store.pathOf(stored), staged, 'module', context.fault);
    if ((await store.compareTree(staged, stored, pin)) === undefined) return;
    const damage = await store.findDamage(stored, pin);
    throw missing(context.root, pin, damage ?? 'its copy differs');
  }

  /** Puts everything back after a failure, unless `current` was switched before it. */
  async #undo(error: unknown): Promise<unknown> {
    const { path } = this.#parts;
    try {
      await this.settle();
    } catch (second) {
      return environmentFailed(
        'modules-dir-not-restored',
        `${path} is between two generations: ${wordsOf(error)}; and its modules could not be put back: ${wordsOf(second)}`,
        {
          hint: 'Mend what the message names; the next pass, or the next start, puts them back.',
          cause: error,
        },
      );
    }
    return diskFailed(error, path);
  }

  /** `current` shows the new generation: the moves stand, and the backups go. */
  async #finish(
    pending: PendingSwitch,
    kept: ReadonlyMap<string, PlacedModule>,
    { isVerified }: { readonly isVerified: boolean },
  ): Promise<void> {
    const { path } = this.#parts;
    const modules = new Map(kept);
    for (const { directory, after } of pending.moves) {
      modules.delete(directory);
      const place = join(path, directory);
      const fingerprint = await treeFingerprint(place);
      if (after === null || fingerprint === undefined) continue;
      // What is not recorded counts as drifted until it has been digested.
      const isRight = isVerified || (await digestTree(place)).digest === after.sha256;
      if (isRight) modules.set(directory, { ...after, fingerprint });
    }
    await this.#end(pending, modules);
  }

  async #restore(pending: PendingSwitch): Promise<void> {
    const { context, path } = this.#parts;
    const modules = new Map(this.#state.modules);
    for (const [index, move] of [...pending.moves.entries()].reverse()) {
      await swapBack(this.#pathsOf(pending, index, move), move, context.fault);
    }
    for (const { directory, before } of pending.moves) {
      if (!modules.has(directory)) continue;
      const found = await digestTree(join(path, directory)).catch(() => undefined);
      if (found?.digest !== before) modules.delete(directory);
    }
    await this.#end(pending, modules);
  }

  async #end(pending: PendingSwitch, modules: ReadonlyMap<string, PlacedModule>): Promise<void> {
    const { path } = this.#parts;
    for (const { directory } of pending.moves) await removeEmptyParents(path, directory);
    await syncDirectory(path);
    await this.#write({ modules, pending: null });
    await removeTree(this.#workOf(pending));
  }

  async #findModuleDrift(
    directory: string,
    pin: VersionPin,
    level: DriftLevel,
  ): Promise<string | undefined> {
    const { store, path } = this.#parts;
    const place = join(path, directory);
    const fingerprint = await treeFingerprint(place);
    const known = this.#state.modules.get(directory);
    const isAsKnown = known?.sha256 === pin.sha256 && known.fingerprint === fingerprint;
    if (level === 'links' && isAsKnown) return undefined;
    if (fingerprint === undefined) {
      this.#remember(directory, undefined);
      const found = await lstat(place).catch(() => undefined);
      return `${place} is ${found === undefined ? 'missing' : 'no directory'}`;
    }
    const [stored] = await store.candidates(pin);
    const difference = await store.compareTree(place, stored, pin);
    this.#remember(directory, difference === undefined ? { ...pin, fingerprint } : undefined);
    return difference === undefined ? undefined : `${place}: ${difference}`;
  }

  /** In memory only: the next switch writes it. What is forgotten is digested there, and replaced. */
  #remember(directory: string, module: PlacedModule | undefined): void {
    const modules = new Map(this.#state.modules);
    if (module === undefined) modules.delete(directory);
    else modules.set(directory, module);
    this.#state = { ...this.#state, modules };
  }

  async #write(state: InPlaceState): Promise<void> {
    // A switch counts as pending from before it is written until after it is written off.
    if (state.pending !== null) this.#state = state;
    await writeInPlaceState(this.#parts.path, state, this.#parts.context.fault);
    this.#state = state;
  }

  #workOf({ id }: PendingSwitch): string {
    return join(workPath(this.#parts.path), id);
  }

  #pathsOf(pending: PendingSwitch, index: number, { directory }: Move) {
    return swapPaths(join(this.#parts.path, directory), this.#workOf(pending), index);
  }
}

/** Copies of switches that are over, and state that was not written to its end. */
async function leftovers(path: string): Promise<string[]> {
  const copies = (await readdir(workPath(path))).map((name) => join(workPath(path), name));
  const own = ownDirectory(path);
  const unfinished = (await readdir(own)).filter((name) => /^\.state\.json\..+\.tmp$/.test(name));
  return [...copies, ...unfinished.map((name) => join(own, name))];
}

function missing(root: string, { alias, version }: VersionPin, reason: string): RinglockError {
  return environmentFailed(
    'version-missing',
    `${alias} ${version} cannot be copied from the version store of ${root}: ${reason}`,
    { hint: 'The next tick stages it again.' },
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
