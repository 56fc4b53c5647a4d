import { timerMs } from './timer-ms.ts';

/** Wakes a waiting watch loop: a signal, a webhook. */
export class Trigger {
  #pending = false;
  #wake: (() => void) | undefined;
  readonly #lookers = new Set<() => void>();

  fire(): void {
    this.#pending = true;
    this.#wake?.();
    for (const look of this.#lookers) look();
  }

  /** Waits as wait() does, beside it: a trigger fired meanwhile stays one for wait(). */
  async look(ms: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#lookers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timerMs(ms));
      this.#lookers.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /**
   * Waits until fired, aborted, or the time is over; a trigger fired meanwhile counts.
   *
   * @returns whether it was fired
   */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#pending && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, timerMs(ms));
        const self = this;
        function done() {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          self.#wake = undefined;
          resolve();
        }
        this.#wake = done;
        signal.addEventListener('abort', done, { once: true });
      });
    }
    const isFired = this.#pending;
    this.#pending = false;
    return isFired;
  }
}

/**
 * Runs passes until aborted, or until `next` says that there is none: at once, then after the time that
 * `next` gives and whenever the trigger fires. A pass reports its own failures.
 *
 * @param next how long to wait for the next pass, in ms
 * @param onTrigger told when a pass is made because the trigger fired
 */
export async function watch(
  pass: (signal: AbortSignal) => Promise<unknown>,
  next: () => Promise<number | undefined>,
  onTrigger: () => void,
  trigger: Trigger,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pass(signal);
    const delay = signal.aborted ? undefined : await next();
    if (delay === undefined) return;
    if (await trigger.wait(delay, signal)) onTrigger();
  }
}
