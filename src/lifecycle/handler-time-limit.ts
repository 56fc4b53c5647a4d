/** The limit of withTimeLimit() passed. */
export class TimeLimitPassed extends Error {
  override readonly name = 'TimeLimitPassed';
  readonly limitMs: number;

  constructor(limitMs: number) {
    super(`no end within ${showMs(limitMs)}`);
    this.limitMs = limitMs;
  }
}

/**
 * Runs something abortable. Whatever it rejects with after an abort, the caller sees the reason:
 * libraries wrap it, or report the broken connection that the abort made.
 *
 * @throws TimeLimitPassed, and the signal's reason when that came first
 */
export async function withTimeLimit<T>(
  limitMs: number,
  signal: AbortSignal,
  run: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const stop = () => controller.abort(signal.reason);
  // AbortSignal.any() of a signal that lives as long as the process keeps every dependent alive.
  signal.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(
    () => controller.abort(new TimeLimitPassed(limitMs)),
    Math.min(limitMs, longestTimer),
  );
  try {
    return await run(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** A timer for longer fires at once. */
export const longestTimer = 2 ** 31 - 1;

/** `250 ms`, `1.5 s`. */
export function showMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(1))} s`;
}
