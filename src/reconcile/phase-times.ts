import type { Durations } from './counts.ts';

/** Times the phases of an operation: each lasts until the next one begins. */
export class PhaseTimes {
  readonly #times: Durations;
  #phase: string | undefined;
  #since = 0;

  constructor(times: Durations) {
    this.#times = times;
  }

  begin(phase: string): void {
    this.end();
    this.#phase = phase;
    this.#since = performance.now();
  }

  end(): void {
    if (this.#phase === undefined) return;
    this.#times.observe({ phase: this.#phase }, performance.now() - this.#since);
    this.#phase = undefined;
  }
}
