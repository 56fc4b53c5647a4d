import { lstat, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { badInput } from '../errors.ts';
import { currentPath } from '../store/layout.ts';
import { type LoadOptions, loadModules } from './load-modules.ts';
import type { LoadedModules } from './loaded-modules.ts';

export interface WatchOptions extends LoadOptions {
  /** Ends the watch. */
  readonly signal?: AbortSignal | undefined;
  /** How often `current` is looked at, in milliseconds (1,000). */
  readonly intervalMs?: number | undefined;
  /** A signal of this process at which it is looked at at once, as `SIGHUP`. */
  readonly processSignal?: string | undefined;
  /** Told what failed, once as long as it stays the same; default: a warning of the process. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

export interface ModulesWatch {
  /** What the application took last. */
  readonly modules: LoadedModules;
  /**
   * Looks now, as when the reconciler's notification comes in.
   *
   * @returns what the application has taken, once it is what the root serves
   * @throws what loadModules() or the application threw
   */
  look(): Promise<LoadedModules>;
}

/**
 * Gives an application what a root serves, first and after each switch. Looks at the link itself, since
 * some volumes tell nobody of changes; two calls never overlap, and one that fails is made again.
 *
 * @param onSwitch takes a generation over; the one before stays in use until its promise is fulfilled
 * @throws RinglockError as loadModules(), and whatever the first call throws
 */
export async function watchModules(
  root: string,
  onSwitch: (modules: LoadedModules) => unknown,
  options: WatchOptions = {},
): Promise<ModulesWatch> {
  const { signal, intervalMs = 1000 } = options;
  if (!(intervalMs > 0)) {
    throw badInput('invalid-interval', `intervalMs is ${intervalMs}, expected more than 0`);
  }
  signal?.throwIfAborted();
  const seen = await linkMark(root);
  const modules = await loadModules(root, options);
  await onSwitch(modules);
  const follower = new Follower(root, onSwitch, options, { seen, modules });
  followInBackground(follower, intervalMs, options);
  return follower;
}

interface Taken {
  readonly modules: LoadedModules;
  /** The link as it was before `modules` were read. */
  readonly seen: string;
}

class Follower implements ModulesWatch {
  readonly #root: string;
  readonly #onSwitch: (modules: LoadedModules) => unknown;
  readonly #options: WatchOptions;
  #taken: Taken;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<LoadedModules> | undefined;

  constructor(
    root: string,
    onSwitch: (modules: LoadedModules) => unknown,
    options: WatchOptions,
    taken: Taken,
  ) {
    this.#root = root;
    this.#onSwitch = onSwitch;
    this.#options = options;
    this.#taken = taken;
  }

  get modules(): LoadedModules {
    return this.#taken.modules;
  }

  /** One look at a time; all that are asked for while one is under way are the next one. */
  look(): Promise<LoadedModules> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const look = this.#look();
      this.#running = look.then(
        () => {},
        () => {},
      );
      return look;
    });
    return this.#next;
  }

  async #look(): Promise<LoadedModules> {
    if (this.#options.signal?.aborted) return this.modules;
    const seen = await linkMark(this.#root);
    if (seen === this.#taken.seen) return this.modules;
    const found = await loadModules(this.#root, this.#options);
    const modules = isSame(found, this.modules) ? this.modules : found;
    if (modules === found) await this.#onSwitch(modules);
    this.#taken = { modules, seen };
    return modules;
  }
}

function followInBackground(
  follower: Follower,
  intervalMs: number,
  { signal, processSignal, onError = warn }: WatchOptions,
): void {
  let told = '';
  const look = async () => {
    try {
      await follower.look();
      told = '';
    } catch (error) {
      if (String(error) !== told) onError(error);
      told = String(error);
    }
  };
  if (processSignal !== undefined) {
    process.on(processSignal, look);
    signal?.addEventListener('abort', () => process.off(processSignal, look), { once: true });
  }
  const poll = async () => {
    while (!signal?.aborted) {
      // Waiting for a switch keeps no process alive.
      await delay(intervalMs, undefined, { ref: false, ...(signal && { signal }) });
      await look();
    }
  };
  poll().catch(() => {}); // Only the delay fails, when the watch is ended.
}

/** What changes whenever `current` does, also when it comes to name the same generation again. */
async function linkMark(root: string): Promise<string> {
  const path = currentPath(root);
  try {
    const { ino, mtimeMs } = await lstat(path);
    return `${await readlink(path)} ${ino} ${mtimeMs}`;
  } catch {
    return ''; // loadModules() says what is wrong with it.
  }
}

function isSame(a: LoadedModules, b: LoadedModules): boolean {
  return (
    a.generation === b.generation && a.lockDigest === b.lockDigest && a.createdAt === b.createdAt
  );
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
