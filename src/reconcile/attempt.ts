import { environmentFailed, type RinglockError } from '../errors.ts';
import { timerMs } from './timer-ms.ts';

/**
 * The part of a pass that may be given up at any moment: asking the server, fetching, staging. It ends
 * with the process, or when it takes too long; what follows it (migrations, the switch, handlers) has time
 * limits of its own and is never cut off by this one.
 */
export class Attempt {
  readonly #limitMs: number;
  #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #unlink: () => void = () => {};
  #failure: RinglockError | undefined;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Of the pass under way: what asks the server listens to it. */
  get signal(): AbortSignal {
    return this.#stop.signal;
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

function tookTooLong(limitMs: number): RinglockError {
  const limit = limitMs < 1000 ? `${limitMs} ms` : `${Math.round(limitMs / 1000)} s`;
  return environmentFailed(
    'attempt-timeout',
    `to look at the branch, fetch and stage took longer than ${limit}`,
    {
      hint: 'What was staged stays, and the next attempt goes on from there. Where what has to be fetched needs more time, give it with --timeout.',
    },
  );
}
