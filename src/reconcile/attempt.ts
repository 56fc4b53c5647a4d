import { AsyncLocalStorage } from 'node:async_hooks';
import { environmentFailed, type RinglockError } from '../errors.ts';
import { timerMs } from './timer-ms.ts';

/**
 * The part of a pass that may be given up at any moment: asking the server, fetching, staging. It ends
 * with the process, or when it takes too long; what follows it (migrations, the switch, handlers) has time
 * limits of its own and is never cut off by this one.
 */
export class Attempt {
  readonly #limitMs: number;
  /** When the pass under way began, by a clock that nobody sets. */
  #began = performance.now();
  /** Of a turn, for whatever is asked in it. */
  readonly #turns = new AsyncLocalStorage<{
    readonly signal: AbortSignal;
    readonly endsAt: number;
  }>();
  #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #unlink: () => void = () => {};
  #failure: RinglockError | undefined;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Of the pass under way, or of the turn that it is read in: what asks a server listens to it. */
  get signal(): AbortSignal {
    return this.#turns.getStore()?.signal ?? this.#stop.signal;
  }

  /**
   * Asks one of several that could be asked: it may take half of what is left of the attempt, or of
   * the turn that this is in, so that the next one always has time as well. Within it `signal` is the turn's.
   *
   * @throws RinglockError `turn-over`
   */
  async turn<T>(whose: string, ask: () => Promise<T>): Promise<T> {
    const now = performance.now();
    const endsAt = this.#turns.getStore()?.endsAt ?? this.#began + this.#limitMs;
    const shareMs = Math.max(endsAt - now, this.#limitMs / 50) / 2;
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(turnOver(whose, shareMs)), timerMs(shareMs));
    try {
      const signal = AbortSignal.any([this.signal, over.signal]);
      return await this.#turns.run({ signal, endsAt: now + shareMs }, ask);
    } catch (error) {
      // In the words of whoever was cut off it would sound like its failure.
      throw over.signal.aborted && !this.signal.aborted ? over.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Why it was given up; undefined when it was not, also when the process ends. */
  get failure(): RinglockError | undefined {
    return this.#failure;
  }

  /**
   * @param ending the process ends
   * @returns aborted when the process ends or the time is over
   */
  begin(ending: AbortSignal): AbortSignal {
    this.end(ending);
    const stop = this.#stop;
    this.#began = performance.now();
    this.#timer = setTimeout(() => {
      this.#failure = tookTooLong(this.#limitMs);
      stop.abort(this.#failure);
    }, timerMs(this.#limitMs));
    return stop.signal;
  }

  /**
   * From here on the pass comes to its own end.
   *
   * @throws RinglockError `attempt-timeout` when the time was over already
   */
  goOn(): void {
    clearTimeout(this.#timer);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** It is over; what a pass does afterwards ends only with the process. */
  end(ending: AbortSignal): void {
    clearTimeout(this.#timer);
    this.#failure = undefined;
    this.#follow(ending);
  }

  /** One listener at a time: the process's signal lives as long as a watch does. */
  #follow(ending: AbortSignal): void {
    this.#unlink();
    const stop = new AbortController();
    this.#stop = stop;
    const end = () => stop.abort(ending.reason);
    if (ending.aborted) end();
    else ending.addEventListener('abort', end, { once: true });
    this.#unlink = () => ending.removeEventListener('abort', end);
  }
}

function turnOver(whose: string, shareMs: number): RinglockError {
  return environmentFailed(
    'turn-over',
    `${whose} did not give it in ${inWords(shareMs)}, half of what was left of the attempt`,
  );
}

function inWords(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}

function tookTooLong(limitMs: number): RinglockError {
  return environmentFailed(
    'attempt-timeout',
    `to look at the branch, fetch and stage took longer than ${inWords(limitMs)}`,
    {
      hint: 'What was staged stays, and the next attempt goes on from there. Where what has to be fetched needs more time, give it with --timeout.',
    },
  );
}
