import { badInput } from '../errors.ts';
import type { Lock } from '../repo/lock.ts';
import type { SourceFile } from '../source/module-source.ts';
import { buildGeneration, type GenerationFacts } from './build-generation.ts';
import { diskFailed } from './disk-error.ts';
import { type DriftLevel, findDrift, generationDrift } from './drift.ts';
import type { FaultPoint } from './fault-point.ts';
import { collectGarbage, type Garbage } from './garbage.ts';
import {
  type Generation,
  listGenerationNumbers,
  readCurrentGeneration,
  readGeneration,
} from './generation.ts';
import { type ModulesDirectory, openModulesDirectory } from './in-place.ts';
import { type Journal, openJournal } from './journal.ts';
import {
  generationsPath,
  type LinkMode,
  ownersPath,
  type StoreContext,
  stagingPath,
  versionsPath,
} from './layout.ts';
import { makeDirectory } from './module-tree.ts';
import { requireOwnNames } from './own-names.ts';
import { takeRoot } from './owner.ts';
import { recoverRoot, restoreLostCurrent } from './recovery.ts';
import { type RootIdentity, readRootFile, requireKnownLayout, writeRootFile } from './root-file.ts';
import { makeRootDirectory } from './root-place.ts';
import { stageVersion } from './stage-version.ts';
import { type RootStatus, writeStatus } from './status-file.ts';
import { switchGeneration } from './switch-generation.ts';
import { SwitchLog } from './switch-log.ts';
import { type VersionPin, VersionStore } from './version-store.ts';

export interface RootOptions {
  /** Made when it is not there. */
  readonly path: string;
  /** How generations built from now on hold their modules; default `symlink`. */
  readonly link?: LinkMode;
  /**
   * A directory that is made equal to the generation whenever one is switched to, module by module: for
   * applications that cannot read `current`. Absolute.
   */
  readonly inPlace?: string;
  /** Visible generations that gc keeps, the current one among them; default 10. */
  readonly keepGenerations?: number;
  /** How long gc keeps what was switched out, in ms; default 24 h. */
  readonly retainForMs?: number;
  readonly now?: () => Date;
  readonly fault?: FaultPoint;
  /** How often the claim to the root is touched, in ms; default 3,000. */
  readonly heartbeatMs?: number;
}

/** A root that this process owns. Its methods are for one operation at a time, but for stage(). */
export interface Root {
  /** Absolute, links resolved. */
  readonly path: string;
  /** Whether the process that had it before did not give it up: killed, or out of memory. */
  readonly tookOver: boolean;
  readonly journal: Journal;
  /** What `current` shows; undefined when that is nothing, or nothing readable. */
  current(): Promise<Generation | undefined>;
  /** Every complete generation, ascending. */
  generations(): Promise<readonly Generation[]>;
  /** Whether the store has exactly these bytes: digested once per process, not known to be damaged. */
  hasVersion(pin: VersionPin): Promise<boolean>;
  /** Absolute path of a version's directory. */
  versionPath(pin: VersionPin): Promise<string | undefined>;
  /**
   * Brings a version into the store, verified, synced and read-only; several may run at once.
   *
   * @throws RinglockError `digest-mismatch`, `refused-path`, `disk-full` and its like
   */
  stage(
    pin: VersionPin,
    files: AsyncIterable<SourceFile>,
    source: string,
  ): Promise<{ bytes: number; files: number }>;
  /** The source of a version that was staged and that no generation has used since. */
  stagedFrom(pin: VersionPin): Promise<string | undefined>;
  /**
   * Builds the next generation, not yet visible; `number` only for a seed's generation 0.
   *
   * @throws RinglockError `version-missing`, `directory-clash`, `disk-full` and its like
   */
  buildGeneration(lock: Lock, facts: GenerationFacts, number?: number): Promise<Generation>;
  /**
   * The one atomic rename of `current`, synced; to an older generation too.
   *
   * @throws RinglockError `generation-damaged`, `foreign-current`, `root-lost`
   */
  switchTo(generation: Pick<Generation, 'number' | 'path'>): Promise<void>;
  /**
   * What differs on disk from the current generation, alias → words; `.` (generationDrift) for what
   * belongs to no module. Versions found changed are marked, so that hasVersion() is then false: stage
   * them, build and switch, and the repair is atomic.
   */
  findDrift(level: DriftLevel): Promise<ReadonlyMap<string, string>>;
  /** Shows again what was shown last when `current` has gone; returns its number when it had. */
  restoreCurrent(): Promise<number | undefined>;
  /** The root is this ring's, repository's and branch's from now on. */
  identify(identity: RootIdentity): Promise<void>;
  /** Replaces status.json. */
  writeStatus(status: RootStatus): Promise<void>;
  /** Removes what the rules do not keep and no unfinished operation needs. */
  collectGarbage(): Promise<Garbage>;
  /** Gives the root up. */
  close(): Promise<void>;
}

/**
 * Opens a root: makes its layout, takes sole ownership, and undoes what a killed process left.
 *
 * @throws RinglockError `root-owned`, `foreign-current`, `foreign-name`, `root-not-ours`, `newer-layout`, `journal-damaged`,
 *   `disk-denied` and its like; see openModulesDirectory() for `inPlace`
 */
export async function openRoot(options: RootOptions): Promise<Root> {
  const path = await makeLayout(options.path);
  const owner = await takeRoot(path, options.heartbeatMs);
  const context: StoreContext = {
    root: path,
    link: options.link ?? 'symlink',
    now: options.now ?? (() => new Date()),
    fault: options.fault ?? (() => {}),
    requireOwned: owner.requireOwned,
  };
  try {
    const store = new VersionStore(context);
    const log = await SwitchLog.open(context);
    const journal = await openJournal(context);
    await recoverRoot(context, store, log, journal);
    // A root of a version that wrote none; whose it is, its generation says.
    if ((await readRootFile(path)) === undefined) await writeRootFile(context, undefined);
    const inPlace =
      options.inPlace === undefined
        ? undefined
        : await openModulesDirectory(context, store, options.inPlace, options.heartbeatMs);
    const release = async () => {
      await inPlace?.close();
      await owner.release();
    };
    const root = rootOf(context, options, store, log, journal, inPlace, release);
    return { ...root, tookOver: owner.tookOver };
  } catch (error) {
    await owner.release();
    throw diskFailed(error, path);
  }
}

async function makeLayout(asked: string): Promise<string> {
  try {
    const path = await makeRootDirectory(asked);
    await requireOwnNames(path);
    await requireKnownLayout(path);
    for (const part of [generationsPath, versionsPath, stagingPath, ownersPath]) {
      await makeDirectory(part(path));
    }
    return path;
  } catch (error) {
    if (['EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      throw badInput('root-not-a-directory', `${asked} is not a directory`, {
        hint: 'Give --root a directory, or a path where one can be made.',
      });
    }
    throw diskFailed(error, asked);
  }
}

function rootOf(
  context: StoreContext,
  options: RootOptions,
  store: VersionStore,
  log: SwitchLog,
  journal: Journal,
  inPlace: ModulesDirectory | undefined,
  release: () => Promise<void>,
): Omit<Root, 'tookOver'> {
  const rules = {
    keepGenerations: options.keepGenerations ?? 10,
    retainForMs: options.retainForMs ?? 24 * 3600 * 1000,
  };
  // Until a generation uses them, staged versions belong to the operation under way.
  const staged = new Map<string, string>();
  let built: number | undefined;
  const current = () => readCurrentGeneration(context.root);
  return {
    path: context.root,
    journal,
    current,
    generations: () => readGenerations(context.root),
    hasVersion: async (pin) => (await store.findVerified(pin)) !== undefined,
    versionPath: async (pin) => {
      const stored = await store.find(pin);
      return stored && store.pathOf(stored);
    },
    stage: async (pin, files, source) => {
      await context.requireOwned();
      const version = await stageVersion(context, store, pin, files, source);
      staged.set(store.pathOf(version.stored), source);
      return { bytes: version.bytes, files: version.files };
    },
    stagedFrom: async (pin) => {
      const stored = await store.find(pin);
      return stored && staged.get(store.pathOf(stored));
    },
    buildGeneration: async (lock, facts, number) => {
      await context.requireOwned();
      const next = number ?? (await nextNumber(context.root, log));
      const generation = await buildGeneration(context, store, next, lock, facts, await current());
      built = generation.number;
      staged.clear();
      return generation;
    },
    switchTo: (generation) => {
      const show = () => switchGeneration(context, store, log, generation);
      return inPlace === undefined ? show() : inPlace.switchTo(generation.number, show);
    },
    findDrift: async (level) => {
      const generation = await current();
      if (generation === undefined) {
        const lost = 'current shows no generation that can be read';
        return new Map(log.latest === undefined ? [] : [[generationDrift, lost]]);
      }
      const drift = await findDrift(context, store, generation, level);
      const outside = await inPlace?.findDrift(generation, level);
      return outside === undefined ? drift : new Map([...outside, ...drift]);
    },
    restoreCurrent: async () => {
      await context.requireOwned();
      return restoreLostCurrent(context, log, journal);
    },
    identify: async (identity) => {
      await context.requireOwned();
      await writeRootFile(context, identity);
    },
    writeStatus: (status) => writeStatus(context, status),
    collectGarbage: () => {
      const unfinished = journal.unfinished()?.prepared;
      const numbers = [built, unfinished?.toGeneration, unfinished?.fromGeneration ?? undefined];
      const generations = numbers.filter((number) => number !== undefined);
      return collectGarbage(context, store, log, rules, {
        generations,
        versions: new Set(staged.keys()),
      });
    },
    close: release,
  };
}

async function readGenerations(root: string): Promise<Generation[]> {
  const numbers = await listGenerationNumbers(root);
  const all = await Promise.all(numbers.map((number) => readGeneration(root, number)));
  return all.filter((generation) => generation !== undefined);
}

/** A number is never used twice, also not that of a generation that gc removed while shown last. */
async function nextNumber(root: string, log: SwitchLog): Promise<number> {
  return Math.max(0, ...(await listGenerationNumbers(root)), ...log.shown.keys()) + 1;
}
