import { RinglockError } from '../errors.ts';
import type { Log } from '../reconcile/log.ts';
import type { Connections } from '../wire/connections.ts';
import type { Claims } from './claims.ts';
import type { OutwardFile, Queued } from './outward-file.ts';
import type { Receiver, Verdict } from './receiver.ts';
import { sendRequest } from './send-request.ts';

export interface CourierParts {
  readonly file: OutwardFile;
  readonly claims: Claims;
  readonly connections: Connections;
  readonly log: Log;
  readonly now: () => Date;
  readonly schedule: DeliverySchedule;
}

/** When what failed is tried again; all in ms. */
export interface DeliverySchedule {
  /** Before the second attempt; doubled with each, and made up to a half shorter by chance. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** The longest `Retry-After` that is obeyed. */
  readonly longestRetryAfterMs: number;
  /** A message that is older is given up. */
  readonly giveUpAfterMs: number;
  /** How long a database that is away is waited for before a replica tells unasked. */
  readonly claimWithinMs: number;
}

export const usualSchedule: DeliverySchedule = {
  firstPauseMs: 1_000,
  longestPauseMs: 10 * 60_000,
  longestRetryAfterMs: 60 * 60_000,
  giveUpAfterMs: 24 * 60 * 60_000,
  claimWithinMs: 60_000,
};

/** Brings one receiver its messages: in order, one at a time, the next when the one before is done with. */
export class Courier {
  readonly #receiver: Receiver;
  readonly #parts: CourierParts;
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What was said of this receiver last: the same trouble is said once. */
  #said: string | undefined;

  constructor(receiver: Receiver, parts: CourierParts) {
    this.#receiver = receiver;
    this.#parts = parts;
  }

  get receiver(): Receiver {
    return this.#receiver;
  }

  /** There may be something to bring. */
  wake(): void {
    if (this.#running !== undefined || this.#ending.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#running = this.#bringAll()
      .catch((error: unknown) =>
        this.#say('error', error instanceof Error ? error.message : `${error}`),
      )
      .finally(() => {
        this.#running = undefined;
        this.#sleep();
      });
  }

  /** Resolves when nothing is under way: all is brought, or has to wait. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Drops the attempt under way; what was not brought stays in the queue. */
  async close(): Promise<void> {
    this.#ending.abort();
    clearTimeout(this.#timer);
    await this.idle();
  }

  async #bringAll(): Promise<void> {
    while (this.#pause() <= 0 && !this.#ending.signal.aborted) {
      const queued = this.#first();
      if (queued === undefined) return;
      try {
        await this.#settle(queued, await this.#attempt(queued));
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        throw error;
      }
    }
  }

  async #attempt(queued: Queued): Promise<Attempt> {
    const { message } = queued;
    const { claims, connections } = this.#parts;
    const { id, isLastWord } = this.#receiver;
    try {
      if (!queued.claimed) {
        if (!(await claims.claim(id, message))) return { outcome: 'not ours' };
        // With a full disk it is claimed again after a restart, under the same id.
        await this.#change(queued, (it) => [{ ...it, claimed: true }]).catch(() => {});
      }
      const place = isLastWord ? await claims.placeOf(id, message) : 'next';
      if (place !== 'next') return { outcome: place === 'behind' ? 'behind' : 'not ours' };
    } catch (error) {
      // Better told twice than never: a database that is away is what there is to tell.
      if (!isDatabase(error) || this.#ageOf(queued) < this.#parts.schedule.claimWithinMs) {
        return tryAgain(error);
      }
    }
    try {
      const request = await this.#receiver.request(message);
      const answer = await sendRequest(connections, request, this.#ending.signal);
      if (typeof answer === 'string') return { outcome: 'again', reason: answer };
      return this.#receiver.judge(answer);
    } catch (error) {
      return tryAgain(error);
    }
  }

  async #settle(queued: Queued, attempt: Attempt): Promise<void> {
    const { event, data } = queued.message;
    const { display } = this.#receiver;
    switch (attempt.outcome) {
      case 'behind':
        return this.#wait(0, this.#parts.schedule.firstPauseMs);
      case 'again': {
        const { reason, afterMs } = attempt;
        if (this.#ageOf(queued) < this.#parts.schedule.giveUpAfterMs) {
          this.#say('warn', `${display} was not told (${reason}); it is tried again`);
          return this.#wait(1, afterMs);
        }
        this.#say('error', `${display} is not told of ${event}: given up (${reason})`);
        break;
      }
      case 'refused': {
        const { reason, hint } = attempt;
        this.#say('error', `${display} refuses what it is told: ${reason}. ${hint}`);
        break;
      }
      case 'delivered':
        this.#said = undefined;
        this.#parts.log.info(`told ${display}`, { event, commit: data.commit?.slice(0, 12) });
    }
    await this.#done(queued);
  }

  async #done(queued: Queued): Promise<void> {
    const { id, isLastWord } = this.#receiver;
    await this.#change(queued, () => [], true);
    // Unheard, it is known by its age.
    if (isLastWord) await this.#parts.claims.finish(id, queued.message).catch(() => {});
  }

  /** What waits for the receiver waits until it is tried again, whatever comes first in the queue then. */
  #wait(more: 0 | 1, leastMs = 0): Promise<void> {
    const { firstPauseMs, longestPauseMs, longestRetryAfterMs } = this.#parts.schedule;
    const { file, now } = this.#parts;
    const { id } = this.#receiver;
    const failures = (file.current.pauses[id]?.failures ?? 0) + more;
    const backOff = more === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
    const pause = Math.max(
      Math.min(leastMs, longestRetryAfterMs),
      backOff * (1 - Math.random() / 2),
    );
    const notBefore = new Date(now().getTime() + pause).toISOString();
    return file.change((state) => ({
      ...state,
      pauses: { ...state.pauses, [id]: { failures, notBefore } },
    }));
  }

  /** @param endsPause whether the receiver is there again, or what it did not take is gone */
  #change(
    { message }: Queued,
    change: (queued: Queued) => readonly Queued[],
    endsPause = false,
  ): Promise<void> {
    const { id } = this.#receiver;
    return this.#parts.file.change(({ queue, pauses, ...rest }) => {
      const { [id]: pause, ...others } = pauses;
      return {
        ...rest,
        queue: queue.flatMap((queued) =>
          queued.receiver === id && queued.message.id === message.id ? change(queued) : [queued],
        ),
        pauses: endsPause || pause === undefined ? others : pauses,
      };
    });
  }

  #first(): Queued | undefined {
    return this.#parts.file.current.queue.find(({ receiver }) => receiver === this.#receiver.id);
  }

  #ageOf({ message }: Queued): number {
    return this.#parts.now().getTime() - Date.parse(message.time);
  }

  #pause(): number {
    const { notBefore } = this.#parts.file.current.pauses[this.#receiver.id] ?? {};
    if (notBefore === undefined) return 0;
    // A clock that was put back must not make it wait for longer than any pause.
    const pause = Date.parse(notBefore) - this.#parts.now().getTime();
    return Math.min(pause, this.#parts.schedule.longestRetryAfterMs);
  }

  #sleep(): void {
    if (this.#first() === undefined || this.#ending.signal.aborted) return;
    // Nothing to wait for means that the disk failed: not at once again.
    const pause = Math.max(this.#pause(), this.#parts.schedule.firstPauseMs / 2);
    this.#timer = setTimeout(() => this.wake(), pause).unref();
  }

  #say(level: 'warn' | 'error', message: string): void {
    if (message !== this.#said) this.#parts.log[level](message);
    this.#said = message;
  }
}

/** What became of one attempt; `not ours` is for another replica to tell, or is told already. */
type Attempt = Verdict | { readonly outcome: 'not ours' } | { readonly outcome: 'behind' };

function isDatabase(error: unknown): boolean {
  return error instanceof RinglockError && error.code.startsWith('database-');
}

/** A secret that is not there now may be mounted in a moment; anything else is a fault of ours. */
function tryAgain(error: unknown): Attempt {
  if (error instanceof RinglockError) return { outcome: 'again', reason: error.message };
  throw error;
}
