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
      const timer = setTimeout(done, ms);
      this.#lookers.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Waits until fired, aborted, or the time is over; a trigger fired meanwhile counts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, ms);
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
    this.#pending = false;
  }
}

/**
 * Runs passes until aborted: at once, then at every interval (± 10 %, so that replicas spread) and
 * whenever the trigger fires. A pass reports its own failures.
 */
export async function watch(
  pass: (signal: AbortSignal) => Promise<unknown>,
  intervalMs: number,
  trigger: Trigger,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pass(signal);
    await trigger.wait(intervalMs * (0.9 + Math.random() * 0.2), signal);
  }
}
