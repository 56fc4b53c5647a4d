import type { RootStatus } from '../store/status-file.ts';
import { isWorthWaiting, type PassIntervals, passDelay } from './pass-delay.ts';

export interface PaceOptions extends PassIntervals {
  readonly mode: 'once' | 'init' | 'watch';
  /** Passes after which one that never served anything is given up; undefined: never. */
  readonly maxFailures: number | undefined;
  readonly random?: () => number;
}

/** When the next pass is due, by how the ones before went. */
export class PassPace {
  readonly #options: PaceOptions;
  #failures = 0;
  #withoutAnything = 0;
  #hasServed = false;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** Whether the last pass failed in a way that the next may not. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Passes that were made in vain, when it was given up over them. */
  get gaveUpAfter(): number | undefined {
    return this.#isGivenUp ? this.#withoutAnything : undefined;
  }

  /**
   * A pass is over.
   *
   * @param retryAfterMs what the server asked for
   * @returns how long to wait for the next, in ms; undefined when there is none
   */
  after(status: RootStatus, retryAfterMs: number | undefined): number | undefined {
    const { mode, random = Math.random } = this.#options;
    const { state, last_error, generation } = status;
    const isServing = generation !== null;
    this.#hasServed ||= isServing;
    if (!isServing && (mode === 'init' || state !== 'suspended')) this.#withoutAnything++;
    if (mode === 'once' || (mode === 'init' && isServing) || this.#isGivenUp) return undefined;
    const isFailure = isServing ? isWorthWaiting(state, last_error) : state !== 'suspended';
    this.#failures = isFailure ? this.#failures + 1 : 0;
    const history = { failures: this.#failures, isServing, retryAfterMs };
    return passDelay(history, this.#options, random());
  }

  /** Something new was heard, or a person asked: what failed before says nothing of the next pass. */
  wake(): void {
    this.#failures = 0;
  }

  get #isGivenUp(): boolean {
    const { mode, maxFailures = mode === 'init' ? 1 : Number.POSITIVE_INFINITY } = this.#options;
    return !this.#hasServed && this.#withoutAnything >= maxFailures;
  }
}
