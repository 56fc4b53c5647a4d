import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import { RinglockError } from '../../errors.ts';
import { changesKey, type FailedSet } from '../../plan/desired-lock.ts';
import { formatLock, type Lock, parseLock } from '../../repo/lock.ts';
import { writeFileAtomically } from '../../store/atomic-file.ts';
import { ownersPath } from '../../store/layout.ts';
import { type Owner, takeRoot } from '../../store/owner.ts';
import type { RingMemory } from './ring-memory.ts';
import {
  interrupted,
  isFailureOfWork,
  isOnlyReported,
  type Outcome,
  overtakenLock,
  type RingOperation,
  type RingTarget,
  type RingVerdict,
  type RingWork,
  turnedBack,
  type Verdict,
} from './ring-operation.ts';

export interface SoloRingOptions {
  /** Where the steps are written: in the root, or a directory that replicas of one host share. */
  readonly directory: string;
  /** Whether other processes of this host work in that directory too. */
  readonly isShared: boolean;
  readonly memory: RingMemory;
  /** Whether a database is away that decides for the ring: what this replica finds good is its own view. */
  readonly isShadow: boolean;
  readonly signal: AbortSignal;
  /** Ends also what must not be cut off for less: the process ends. */
  readonly ending: AbortSignal;
}

/** One thing that was begun for the ring, in the order they were begun. */
interface SoloStep {
  readonly key: string;
  readonly attempt: number;
  readonly state: 'started' | 'succeeded' | 'failed' | 'interrupted';
  readonly idempotent: boolean;
  readonly detail?: string;
}

/** `ring-steps.json` */
interface SoloFile {
  readonly id: string;
  readonly target: string;
  /** The lock that it is for, in its byte form; absent in a file of the version before. */
  readonly lock?: string;
  /** The lock before, in its byte form. */
  readonly previous: string | null;
  readonly isFinished: boolean;
  readonly steps: readonly SoloStep[];
}

const fileName = 'ring-steps.json';
/** How long a handler may outlive a reconciler of this host that was killed (handler-guard.ts), in ms. */
const outlivesMs = 1_000;

/**
 * A ring's operation without a database: this replica decides alone. What is done once for a ring is
 * written ahead in a file, under a lock where replicas of one host share it.
 */
export async function joinAlone(
  options: SoloRingOptions,
  target: RingTarget,
): Promise<RingOperation> {
  const { directory, isShared, memory } = options;
  const found = await locked(options, async () => {
    if (isShared) await syncShared(directory, memory);
    const failed = isShared ? failureOf(memory, target) : undefined;
    if (failed !== undefined) throw turnedBack(failed.reason);
    const known = await readSteps(directory);
    const isDone = isShared && memory.good?.digest === target.digest;
    if (known?.target === target.digest && (!known.isFinished || isDone)) return known;
    const before = leaving(target, known);
    const previous = before === undefined ? null : formatLock(before);
    const [id, lock] = [uuidv7(), formatLock(target.lock)];
    const begun = { id, target: target.digest, lock, previous, isFinished: false, steps: [] };
    await writeSteps(directory, begun);
    return begun;
  });
  return new SoloRing(options, target, found.id, previousLock(target, found));
}

/**
 * Brings the memories of replicas together that share a directory; under a lock of its own, since the
 * other one is held as long as a handler runs.
 *
 * @returns whether there was news
 */
export function syncShared(directory: string, memory: RingMemory): Promise<boolean> {
  const shared = join(directory, 'memory');
  const signal = new AbortController().signal;
  return locked({ directory: shared, isShared: true, signal }, () =>
    memory.syncThroughDirectory(shared),
  );
}

function failureOf({ failures }: RingMemory, target: RingTarget): FailedSet | undefined {
  const key = changesKey(target.changes);
  return failures.find(({ changes }) => changesKey(changes) === key);
}

/** Also what an operation brought that is overtaken half-way: its migrations may have run. */
function leaving(target: RingTarget, known: SoloFile | undefined): Lock | undefined {
  if (known?.lock === undefined || known.isFinished) return target.previous;
  const before = previousLock(target, known) ?? target.previous;
  return overtakenLock(before, parseLock(known.lock, target.lock.ring));
}

/** The lock before, as the file has it. */
function previousLock({ lock }: RingTarget, { previous }: SoloFile): Lock | undefined {
  return previous === null ? undefined : parseLock(previous, lock.ring);
}

/** The target of an operation that is open. */
export async function readOpenTarget(directory: string): Promise<string | undefined> {
  const known = await readSteps(directory);
  return known === undefined || known.isFinished ? undefined : known.target;
}

/** Comes back to an operation that is to be ended here; undefined when the last one is another. */
export async function rejoinAlone(
  options: SoloRingOptions,
  target: RingTarget,
): Promise<RingOperation | undefined> {
  const known = await readSteps(options.directory);
  if (known?.target !== target.digest) return undefined;
  return new SoloRing(options, target, known.id, previousLock(target, known));
}

class SoloRing implements RingOperation {
  readonly joined = 'rolling';
  readonly changes: RingOperation['changes'];
  readonly signal: AbortSignal;
  readonly #options: SoloRingOptions;
  readonly #target: RingTarget;

  constructor(
    options: SoloRingOptions,
    target: RingTarget,
    readonly id: string,
    readonly previous: Lock | undefined,
  ) {
    this.#options = options;
    this.#target = target;
    this.signal = options.signal;
    this.changes = target.changes;
  }

  once(work: RingWork): Promise<void> {
    return locked(this.#options, async () => {
      try {
        await this.#runOnce(work);
      } catch (error) {
        const isOwnFailure = isFailureOfWork(error) && !this.signal.aborted;
        if (isOwnFailure && !isOnlyReported(this.#target, work)) {
          await this.#markFailed(error.message);
        }
        throw error;
      }
    });
  }

  async takeTurn(): Promise<'granted'> {
    return 'granted';
  }

  async report({ state, reason }: Verdict): Promise<RingVerdict> {
    const { isForced, policy } = this.#target;
    if (state === 'unhealthy' && policy.revertOn !== 'never' && !isForced) {
      await this.turnBack(reason);
      return { outcome: 'reverting', reason };
    }
    const { lock, digest, commit } = this.#target;
    const { directory, isShared, memory, isShadow } = this.#options;
    if (!isShadow) await memory.markGood({ lock, digest, commit });
    if (isShared) await syncShared(directory, memory);
    return { outcome: 'committed', reason };
  }

  turnBack(reason: string): Promise<void> {
    return locked(this.#options, () => this.#markFailed(reason));
  }

  async #markFailed(reason: string): Promise<void> {
    const { directory, isShared, memory } = this.#options;
    const { changes, commit } = this.#target;
    if (changes.length > 0) await memory.markFailed({ changes, reason, commit });
    if (isShared) await syncShared(directory, memory);
    await this.#change((file) => ({ ...file, isFinished: true }));
  }

  async returned(): Promise<void> {}

  async whenAllLeft(_: Outcome, work: RingWork): Promise<void> {
    await locked(this.#options, () => this.#runOnce(work));
    await this.#change((file) => ({ ...file, isFinished: true }));
  }

  async close(): Promise<void> {}

  async #runOnce({ key, idempotent, outlives = false, run }: RingWork): Promise<void> {
    const file = await readSteps(this.#options.directory);
    const last = file?.steps.findLast((step) => step.key === key);
    if (last?.state === 'succeeded') return;
    const attempt = (last?.attempt ?? 0) + 1;
    if (last?.state === 'started') await this.#write({ ...last, state: 'interrupted' });
    if (last !== undefined && last.state !== 'failed' && !last.idempotent) throw interrupted(key);
    if (last?.state === 'started' && outlives) {
      await delay(outlivesMs, undefined, { signal: this.signal });
    }
    const step = { key, attempt, idempotent };
    await this.#write({ ...step, state: 'started' });
    try {
      await this.#write({ ...step, state: 'succeeded', detail: await run(this.#options.ending) });
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      if (!this.#options.ending.aborted) await this.#write({ ...step, state: 'failed', detail });
      throw error;
    }
  }

  #write(step: SoloStep): Promise<void> {
    const isSame = (other: SoloStep) => other.key === step.key && other.attempt === step.attempt;
    return this.#change((file) => ({
      ...file,
      steps: [...file.steps.filter((other) => !isSame(other)), step],
    }));
  }

  async #change(edit: (file: SoloFile) => SoloFile): Promise<void> {
    const { directory } = this.#options;
    const file = await readSteps(directory);
    // Another replica of the host may have gone on to another target meanwhile.
    if (file?.id === this.id) await writeSteps(directory, edit(file));
  }
}

/** Runs work while no other process of this host works in a shared directory. */
async function locked<T>(
  { directory, isShared, signal }: Pick<SoloRingOptions, 'directory' | 'isShared' | 'signal'>,
  use: () => Promise<T>,
): Promise<T> {
  await mkdir(ownersPath(directory), { recursive: true });
  if (!isShared) return use();
  const owner = await takeWaiting(directory, signal);
  try {
    return await use();
  } finally {
    await owner.release();
  }
}

async function takeWaiting(directory: string, signal: AbortSignal): Promise<Owner> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await takeRoot(directory);
    } catch (error) {
      if (!(error instanceof RinglockError) || error.code !== 'root-owned') throw error;
      await delay(50 + Math.random() * 100, undefined, { signal });
    }
  }
}

async function readSteps(directory: string): Promise<SoloFile | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, fileName), 'utf8')) as SoloFile;
  } catch {
    return undefined;
  }
}

function writeSteps(directory: string, file: SoloFile): Promise<void> {
  const text = `${JSON.stringify(file, null, 2)}\n`;
  return writeFileAtomically(join(directory, fileName), text, { mode: 0o644 });
}
