import { environmentFailed, RinglockError, refused } from '../../errors.ts';
import type { ModuleChange } from '../../plan/desired-lock.ts';
import type { Lock } from '../../repo/lock.ts';
import type { Policy } from '../../repo/settings.ts';

/** What a ring is to go to. */
export interface RingTarget {
  readonly commit: string | null;
  /** The branch that the commit is on. */
  readonly branch: string;
  /** The desired lock: as committed, minus what failed, plus holds. */
  readonly lock: Lock;
  /** `sha256:<hex>` of its byte form: what names the operation. */
  readonly digest: string;
  /** What it changes of the last good lock. */
  readonly changes: readonly ModuleChange[];
  /** What the ring ran well before; undefined when that is unknown. */
  readonly previous: Lock | undefined;
  /** Whether it only goes down from the last good lock: a revert, which never waits for waves. */
  readonly isReturn: boolean;
  /**
   * Whether there is nothing better to go back to: a person holds it, or it is the last good lock. It is
   * not reverted, and what fails on the way is only reported.
   */
  readonly isForced: boolean;
  readonly policy: Pick<Policy, 'rollout' | 'revertOn'>;
}

/** What a replica found after its switch. */
export interface Verdict {
  readonly state: 'healthy' | 'unhealthy' | 'abstained';
  readonly reason: string;
}

export type Outcome = 'committed' | 'reverting';

/** What the ring makes of it, and why. */
export interface RingVerdict {
  readonly outcome: Outcome;
  readonly reason: string;
}

/** Work of which there is one for a ring, and what it says of itself. */
export interface RingWork {
  /** `migrate`, `handler orders onUpgrade 1.0.0 1.1.0 5f2d8c0a77be`. */
  readonly key: string;
  /** Whether it may run again when it was cut off and nobody knows how far it came. */
  readonly idempotent: boolean;
  /** Whether it may go on for a moment after whoever runs it has lost its session. */
  readonly outlives?: boolean;
  /** @returns a line for the record */
  run(signal: AbortSignal): Promise<string>;
}

/**
 * One replica's part in its ring's operation. Everything it waits for ends early, by a throw, when a
 * newer commit or a person stops the operation (OperationStopped) or the database is lost.
 */
export interface RingOperation {
  /** UUIDv7, the same in every replica. */
  readonly id: string;
  /** What the ring ran when the operation began, whatever it runs well by now. */
  readonly previous: Lock | undefined;
  /** What the operation changes of it, the same for every replica. */
  readonly changes: readonly ModuleChange[];
  /** Aborted with an OperationStopped or a RinglockError. */
  readonly signal: AbortSignal;
  /** What the ring had decided when this replica joined. */
  readonly joined: 'rolling' | Outcome;
  /**
   * Runs work that no replica has done yet, one replica at a time; returns when it is done, here or
   * elsewhere. A failure turns the whole operation back.
   *
   * @throws what the work throws; RinglockError `handler-interrupted`; `turned-back` when another's failed
   */
  once(work: RingWork): Promise<void>;
  /** Waits until this replica may switch; `reverting` when it must not any more. */
  takeTurn(): Promise<'granted' | 'reverting'>;
  /** Says how it went and waits for what the ring decides. */
  report(verdict: Verdict): Promise<RingVerdict>;
  /** Turns the operation back. */
  turnBack(reason: string): Promise<void>;
  /** This replica is on the generation before again. */
  returned(): Promise<void>;
  /** Runs work once nobody is on the versions that are left; by whoever comes last. */
  whenAllLeft(after: Outcome, work: RingWork): Promise<void>;
  close(): Promise<void>;
}

/** What is left together with an operation that was overtaken: by module, what it brought last. */
export function overtakenLock(before: Lock | undefined, overtaken: Lock): Lock {
  if (before === undefined) return overtaken;
  const modules = new Map([...before.modules, ...overtaken.modules]);
  return { ...overtaken, modules: new Map([...modules].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** A newer commit or a person stopped an operation: every replica plans again from what it has. */
export class OperationStopped extends Error {
  override readonly name = 'OperationStopped';
  /** The commit that the branch has gone on to from the operation's own. */
  readonly overtakenBy: string | undefined;

  constructor(message: string, overtakenBy?: string) {
    super(message);
    this.overtakenBy = overtakenBy;
  }
}

/** Whether the work itself failed; anything else (a database that is away) is tried again. */
export function isFailureOfWork(error: unknown): error is RinglockError {
  return (
    error instanceof RinglockError &&
    /^(migration|invalid-migration|handler)/.test(error.code) &&
    error.code !== 'migration-unreadable'
  );
}

/** Where there is nothing better to go back to, a handler that fails is no reason to. */
export function isOnlyReported({ isForced }: RingTarget, { key }: RingWork): boolean {
  return isForced && key.startsWith('handler ');
}

export function turnedBack(reason: string): RinglockError {
  return refused('turned-back', `the ring turned back: ${reason}`, {
    hint: 'These versions are not tried again until they change, or: ringlock retry',
  });
}

export function interrupted(key: string): RinglockError {
  return environmentFailed(
    'handler-interrupted',
    `${key} was cut off in another replica, and nobody knows how far it came`,
    {
      hint: 'See what it has done, then: ringlock retry. A handler that may run twice says "idempotent": true.',
    },
  );
}
