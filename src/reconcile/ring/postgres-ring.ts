import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { environmentFailed } from '../../errors.ts';
import { changesKey } from '../../plan/desired-lock.ts';
import type { Log } from '../log.ts';
import {
  findOrBegin,
  type JoinFacts,
  lockRing,
  type OperationRow,
  presenceLock,
  readOperation,
  writeReplica,
} from './operation-rows.ts';
import { decideOperation, haveAllReturned, haveAllSettled, mayTakeTurn } from './ring-decision.ts';
import { goodValue, overwriteRecord } from './ring-memory.ts';
import {
  isFailureOfWork,
  OperationStopped,
  type Outcome,
  type RingOperation,
  type RingTarget,
  type RingVerdict,
  type RingWork,
  turnedBack,
  type Verdict,
} from './ring-operation.ts';
import { announce, RingSession } from './ring-session.ts';
import { runOnce } from './ring-steps.ts';

export interface PostgresRingOptions extends JoinFacts {
  readonly databaseUrl: string;
  /** Stops waiting: the process ends, or a newer commit is there. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** How often what others do is looked at, when no notification comes, in ms. */
const lookMs = 500;
/** How long a name may still be held by the session of a killed predecessor, in ms. */
const nameWaitMs = 20_000;

/**
 * Takes part in the ring's operation for a target, through Postgres (DESIGN section 6).
 *
 * @throws RinglockError `database-…`, `ring-ahead`, `replica-name-taken`
 */
export async function joinThroughPostgres(
  options: PostgresRingOptions,
  target: RingTarget,
): Promise<RingOperation> {
  const session = await RingSession.open(options.databaseUrl, options.ring);
  try {
    await takeName(session, options);
    const row = await session.transact(async (client) => {
      const id = await findOrBegin(client, options, target);
      const found = await readOperation(client, id);
      const own = found.view.replicas.find(({ replica }) => replica === options.replica);
      // Between a switch and its verdict a replica keeps its turn, whatever it goes to next.
      const state = own?.state === 'turn' || own?.isJoined ? own.state : 'waiting';
      await writeReplica(client, options, id, state);
      await announce(client, options.ring);
      return found;
    });
    return new PostgresRing(options, target, session, row);
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function takeName(session: RingSession, { ring, replica }: JoinFacts): Promise<void> {
  const until = performance.now() + nameWaitMs;
  while (!(await session.tryLock(presenceLock(ring, replica)))) {
    if (performance.now() > until) {
      throw environmentFailed(
        'replica-name-taken',
        `another process takes part in ring ${ring} as replica ${replica}`,
        { hint: 'Give each replica a name of its own with --replica.' },
      );
    }
    await delay(200);
  }
}

class PostgresRing implements RingOperation {
  readonly id: string;
  readonly signal: AbortSignal;
  readonly joined: RingOperation['joined'];
  readonly #options: PostgresRingOptions;
  readonly #target: RingTarget;
  readonly #session: RingSession;
  readonly #stopped = new AbortController();
  #isLooking = false;

  constructor(
    options: PostgresRingOptions,
    target: RingTarget,
    session: RingSession,
    { id, state }: OperationRow,
  ) {
    this.id = id;
    this.joined = state === 'committed' || state === 'reverting' ? state : 'rolling';
    this.#options = options;
    this.#target = target;
    this.#session = session;
    this.signal = AbortSignal.any([options.signal, session.signal, this.#stopped.signal]);
    session.onNews = () => void this.#lookWhether();
  }

  async once(work: RingWork): Promise<void> {
    await this.#holding(
      'once',
      () => this.#refuseTurnedBack(),
      async () => {
        await this.#refuseTurnedBack();
        await this.#runOnce(work);
      },
    );
  }

  async takeTurn(): Promise<'granted' | 'reverting'> {
    for (;;) {
      const answer = await this.#decide(async (client, row) => {
        if (row.state === 'reverting') return 'reverting' as const;
        if (!mayTakeTurn(row.view, this.#options.replica)) return undefined;
        await writeReplica(client, this.#options, this.id, 'turn');
        return 'granted' as const;
      });
      if (answer !== undefined) return answer;
      await this.#session.changed(lookMs, this.signal);
    }
  }

  async report({ state, reason }: Verdict): Promise<RingVerdict> {
    await this.#decide((client) => writeReplica(client, this.#options, this.id, state, reason));
    for (;;) {
      const verdict = await this.#decide(async (_, row) =>
        row.state === 'rolling'
          ? undefined
          : { outcome: row.state as Outcome, reason: row.reason ?? reason },
      );
      if (verdict !== undefined) return verdict;
      await this.#session.changed(lookMs, this.signal);
    }
  }

  async turnBack(reason: string): Promise<void> {
    await this.#session.transact(async (client) => {
      await lockRing(client, this.#options.ring);
      const row = await readOperation(client, this.id);
      if (row.state === 'rolling') await this.#setReverting(client, reason);
    });
  }

  async returned(): Promise<void> {
    await this.#session.transact(async (client) => {
      await writeReplica(client, this.#options, this.id, 'returned');
      await announce(client, this.#options.ring);
    });
  }

  async whenAllLeft(after: Outcome, work: RingWork): Promise<void> {
    const row = await this.#session.run((client) => readOperation(client, this.id));
    const isFree = after === 'reverting' ? haveAllReturned(row.view) : haveAllSettled(row.view);
    if (!isFree) return;
    await this.#holding(
      'once',
      async () => {},
      () => this.#runOnce(work),
    );
    await this.#session.transact((client) =>
      client.query(
        `update ring_operations set finished_at = now(),
           state = case state when 'reverting' then 'reverted' else state end
         where id = $1 and finished_at is null`,
        [this.id],
      ),
    );
    await this.#session.announce();
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  /** Looks at the operation, lets it move on, and lets `use` act on what it is; one replica at a time. */
  async #decide<T>(use: (client: pg.Client, row: OperationRow) => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const { ring } = this.#options;
    return this.#session.transact(async (client) => {
      await lockRing(client, ring);
      const before = await readOperation(client, this.id);
      this.#requireGoing(before);
      const result = await use(client, before);
      const row = await readOperation(client, this.id);
      if (row.state === 'rolling') {
        const decision = decideOperation(row.view);
        if (decision.state === 'reverting') await this.#setReverting(client, decision.reason);
        if (decision.state === 'committed') await this.#setCommitted(client);
      }
      await announce(client, ring);
      return result;
    });
  }

  /** Also a handler or a health gate under way ends when somebody stops the operation. */
  async #lookWhether(): Promise<void> {
    if (this.#isLooking || this.signal.aborted) return;
    this.#isLooking = true;
    try {
      const row = await this.#session.run((client) => readOperation(client, this.id));
      this.#requireGoing(row);
    } catch {
      // Stopped, which the signal says; or the session is lost, which says so itself.
    } finally {
      this.#isLooking = false;
    }
  }

  #requireGoing({ state, reason }: OperationRow): void {
    if (state !== 'superseded' && state !== 'reverted') return;
    const stop = new OperationStopped(reason ?? 'a newer commit is there');
    this.#stopped.abort(stop);
    throw stop;
  }

  async #setReverting(client: pg.Client, reason: string): Promise<void> {
    const { ring } = this.#options;
    const { changes, commit } = this.#target;
    await client.query(
      `update ring_operations set state = 'reverting', reason = $2, decided_at = now() where id = $1`,
      [this.id, reason],
    );
    await overwriteRecord(client, ring, 'failure', changesKey(changes), {
      changes,
      reason,
      commit,
    });
    await announce(client, ring);
  }

  async #setCommitted(client: pg.Client): Promise<void> {
    const { lock, digest, commit } = this.#target;
    await client.query(
      `update ring_operations set state = 'committed', decided_at = now() where id = $1`,
      [this.id],
    );
    const good = goodValue({ lock, digest, commit });
    await overwriteRecord(client, this.#options.ring, 'good', '', good);
  }

  async #refuseTurnedBack(): Promise<void> {
    const row = await this.#session.run((client) => readOperation(client, this.id));
    this.#requireGoing(row);
    if (row.state === 'reverting') throw turnedBack(row.reason ?? 'it failed');
  }

  async #runOnce(work: RingWork): Promise<void> {
    try {
      await runOnce(this.#session, this.id, this.#options.replica, work, this.signal);
    } catch (error) {
      // The end of this process or of its session is for the next replica to go on from.
      const isOwnFailure = isFailureOfWork(error) && !this.signal.aborted;
      if (isOwnFailure) await this.turnBack(error.message);
      throw error;
    }
  }

  /** Holds a lock of the ring that one session at a time can have. */
  async #holding<T>(
    what: string,
    whileWaiting: () => Promise<void>,
    use: () => Promise<T>,
  ): Promise<T> {
    const name = `ringlock ${what} ${this.#options.ring}`;
    while (!(await this.#session.tryLock(name))) {
      await whileWaiting();
      await this.#session.changed(lookMs / 2, this.signal);
    }
    try {
      return await use();
    } finally {
      if (!this.#session.signal.aborted) await this.#session.unlock(name);
    }
  }
}
