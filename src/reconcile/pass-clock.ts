/** How long a pass in which no operation is under way may take, in ms, unless `--timeout` says more. */
const longestPassMs = 3_600_000;

/** How long after its time the next pass may begin, in ms. */
const longestDelayMs = 900_000;

/**
 * When passes begin, end and are due, so that a loop that hangs is noticed. Generous: a process that is
 * killed because it is slow does not become faster.
 */
export class PassClock {
  readonly #now: () => number;
  readonly #longestPassMs: number;
  #beganAt: number | undefined;
  #dueAt: number | undefined;

  /**
   * @param now monotonic, in ms: a clock that is set must not end the process
   * @param timeoutMs what one attempt may take; a pass may make two
   */
  constructor(now: () => number = () => performance.now(), timeoutMs = 0) {
    this.#now = now;
    this.#longestPassMs = Math.max(longestPassMs, 2 * timeoutMs + longestDelayMs);
  }

  began(): void {
    this.#beganAt = this.#now();
    this.#dueAt = undefined;
  }

  /** @param ms until the next one */
  ended(ms: number): void {
    this.#beganAt = undefined;
    this.#dueAt = this.#now() + ms;
  }

  /** Milliseconds until the next pass is due; undefined while one is under way. */
  get dueInMs(): number | undefined {
    return this.#dueAt === undefined ? undefined : this.#dueAt - this.#now();
  }

  /**
   * Why passes seem to have stopped coming; undefined while they come.
   *
   * @param isOperating whether an operation is under way: migrations and turns may take their time
   */
  hung(isOperating: boolean): string | undefined {
    if (this.#beganAt !== undefined) {
      const ms = this.#now() - this.#beganAt;
      return ms > this.#longestPassMs && !isOperating
        ? `a pass has taken ${seconds(ms)}`
        : undefined;
    }
    const late = -(this.dueInMs ?? 0);
    return late > longestDelayMs ? `the next pass is ${seconds(late)} late` : undefined;
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
