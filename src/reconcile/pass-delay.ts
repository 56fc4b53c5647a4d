import type { RootState, StatusError } from '../store/status-file.ts';

/** What the wait for the next pass follows from. */
export interface PassHistory {
  /** Passes that failed one after the other, the last one included; 0 after one that did not. */
  readonly failures: number;
  /** Whether anything serves. */
  readonly isServing: boolean;
  /** When the server wants to be asked again, in ms. */
  readonly retryAfterMs: number | undefined;
}

export interface PassIntervals {
  /** Between passes, in ms. */
  readonly intervalMs: number;
  /** Between failed passes as long as nothing serves, in ms. */
  readonly initIntervalMs: number;
}

/** A ring that fails is looked at this often at least, unless its interval is longer, in ms. */
const longestBackOffMs = 5 * 60_000;

/** A server cannot send a ring away for longer, in ms. */
const longestRetryAfterMs = 3_600_000;

/**
 * How long to wait for the next pass, in ms. Until something serves, failures are tried again at the
 * shorter of the two intervals. Afterwards each failure doubles the wait, up to ten intervals or five
 * minutes, whichever is less. A server that says when to come back is not asked before.
 *
 * @param random from 0 to 1: the wait is spread by ± 10 %, after several failures by ± 25 %, so that
 *   replicas do not come together
 */
export function passDelay(
  { failures, isServing, retryAfterMs = 0 }: PassHistory,
  { intervalMs, initIntervalMs }: PassIntervals,
  random: number,
): number {
  const least = Math.min(retryAfterMs, longestRetryAfterMs);
  const spread = (base: number, by: number) => base * (1 - by + 2 * by * random);
  if (failures === 0) return spread(intervalMs, 0.1);
  // Not before the time that was asked for, but not all at that moment either.
  const notBefore = (delay: number) => (delay >= least ? delay : least * (1 + 0.1 * random));
  if (!isServing) return notBefore(spread(Math.min(initIntervalMs, intervalMs), 0.1));
  const longest = Math.max(intervalMs, Math.min(10 * intervalMs, longestBackOffMs));
  const base = Math.min(longest, intervalMs * 2 ** Math.min(failures - 1, 30));
  return notBefore(spread(base, failures === 1 ? 0.1 : 0.25));
}

/**
 * Whether waiting longer helps: the server, or the way to it. A refused commit waits for the next commit,
 * which must not come late; a disk and a database are not spared by fewer passes, and a plan that waits for
 * a database goes on after its grace.
 */
export function isWorthWaiting(state: RootState, error: StatusError | null): boolean {
  if (state === 'unreachable') return true;
  return state === 'failed' && !/^(disk|database|root)-/.test(error?.code ?? '');
}
