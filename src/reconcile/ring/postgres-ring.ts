import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { environmentFailed } from '../../errors.ts';
import { changesKey } from '../../plan/desired-lock.ts';
import { parseLock } from '../../repo/lock.ts';
import type { Log } from '../log.ts';
import {
  findLatest,
  findOrBegin,
  type JoinFacts,
  lockRing,
  type OperationRow,
  presenceLock,
  readOperation,
  supersedeOperation,
  writeReplica,
} from './operation-rows.ts';
import { decideOperation, haveAllReturned, haveAllSettled, mayTakeTurn } from './ring-decision.ts';
import { goodValue, overwriteRecord } from './ring-memory.ts';
import {
  isFailureOfWork,
  isOnlyReported,
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
  /** Ends also what must not be cut off for less: the process ends. */
  readonly ending: AbortSignal;
  /** Whether this replica has switched to the target already, in a process or a session before. */
  readonly isSwitched: boolean;
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
    await takeName(session, options, options.signal);
    const row = await session.transact(async (client) => {
      const id = await findOrBegin(client, options, target);
      const found = await readOperation(client, id);
      const own = found.view.replicas.find(({ replica }) => replica === options.replica);
      // Between a switch and its verdict a replica keeps its turn, whatever it goes to next.
      const isInTurn = own?.state === 'turn' || options.isSwitched;
      await writeReplica(client, options, id, isInTurn ? 'turn' : 'waiting');
      await announce(client, options.ring);
      return found;
    });
    return new PostgresRing(options, target, session, row);
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * Comes back to an operation that is to be ended here; undefined when the ring's last one is another.
 *
 * @throws RinglockError `database-…`, `replica-name-taken`
 */
export async function rejoinThroughPostgres(
  options: PostgresRingOptions,
  target: RingTarget,
): Promise<RingOperation | undefined> {
  const session = await RingSession.open(options.databaseUrl, options.ring);
  try {
    await takeName(session, options, options.signal);
    const row = await session.transact(async (client) => {
      await lockRing(client, options.ring);
      const id = await findLatest(client, options.ring, target.digest);
      return id === undefined ? undefined : readOperation(client, id);
    });
    if (row !== undefined) return new PostgresRing(options, target, session, row);
  } catch (error) {
    await session.close();
    throw error;
  }
  await session.close();
  return undefined;
}

async function takeName(
  session: RingSession,
  { ring, replica }: JoinFacts,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + nameWaitMs;
  while (!(await session.tryLock(presenceLock(ring, replica)))) {
    if (performance.now() > until) {
      throw environmentFailed(
        'replica-name-taken',
        `another process takes part in ring ${ring} as replica ${replica}`,
        { hint: 'Give each replica a name of its own with --replica.' },
      );
    }
    await delay(200, undefined, { signal });
  }
}

class PostgresRing implements RingOperation {
  readonly id: string;
  readonly signal: AbortSignal;
  readonly joined: RingOperation['joined'];
  readonly previous: RingOperation['previous'];
  readonly changes: RingOperation['changes'];
  readonly #options: PostgresRingOptions;
  readonly #target: RingTarget;
  readonly #session: RingSession;
  readonly #stopped = new AbortController();
  #isLooking = false;

  constructor(
    options: PostgresRingOptions,
    target: RingTarget,
    session: RingSession,
    { id, state, previous, changes }: OperationRow,
  ) {
    this.id = id;
    this.changes = changes;
    this.previous = previous === null ? undefined : parseLock(previous, options.ring);
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
        if (row.state === 'reverting') return { value: 'reverting' as const, isNews: false };
        if (!mayTakeTurn(row.view, this.#options.replica)) return { isNews: false };
        await writeReplica(client, this.#options, this.id, 'turn');
        return { value: 'granted' as const, isNews: true };
      });
      if (answer !== undefined) return answer;
      await this.#session.changed(lookMs, this.signal);
    }
  }

  async report({ state, reason }: Verdict): Promise<RingVerdict> {
    await this.#decide(async (client) => {
      await writeReplica(client, this.#options, this.id, state, reason);
      return { isNews: true };
    });
    for (;;) {
      const verdict = await this.#decide(async (_, row) => {
        if (row.state === 'rolling') return { isNews: false };
        const value = { outcome: row.state as Outcome, reason: row.reason ?? reason };
        return { value, isNews: false };
      });
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
        // What it overtook was left together with it.
        `update ring_operations set finished_at = now(),
           state = case state when 'reverting' then 'reverted' else state end
         where finished_at is null and (id = $1 or (ring = $2 and state in ('reverted', 'superseded')
           and created_at < (select created_at from ring_operations where id = $1)))`,
        [this.id, this.#options.ring],
      ),
    );
    await this.#session.announce();
  }

  /**
   * What the branch has gone on from nobody goes on with: said while this replica still counts as being in
   * its turn, since another would take the turn of one that is gone.
   */
  async close(): Promise<void> {
    const { reason } = this.#options.signal;
    try {
      if (reason instanceof OperationStopped && reason.overtakenBy !== undefined) {
        await this.#overtake(reason.overtakenBy);
      }
    } catch {
      // The database is lost; the next pass supersedes it.
    } finally {
      await this.#session.close();
    }
  }

  #overtake(commit: string): Promise<void> {
    return this.#session.transact(async (client) => {
      await lockRing(client, this.#options.ring);
      const { state } = await readOperation(client, this.id);
      if (state !== 'rolling') return;
      await supersedeOperation(client, this.id, commit);
      await announce(client, this.#options.ring);
    });
  }

  /** Looks at the operation, lets it move on, and lets `use` act on what it is; one replica at a time. */
  async #decide<T>(
    use: (client: pg.Client, row: OperationRow) => Promise<{ value?: T; isNews: boolean }>,
  ): Promise<T | undefined> {
    this.signal.throwIfAborted();
    const { ring } = this.#options;
    return this.#session.transact(async (client) => {
      await lockRing(client, ring);
      const before = await readOperation(client, this.id);
      this.#requireGoing(before);
      const { value, isNews } = await use(client, before);
      const row = isNews ? await readOperation(client, this.id) : before;
      const decision = row.state === 'rolling' ? decideOperation(row.view) : undefined;
      if (decision?.state === 'reverting') await this.#setReverting(client, decision.reason);
      if (decision?.state === 'committed') await this.#setCommitted(client);
      // Only what is new wakes the others, who look in their turn.
      const isDecided = decision !== undefined && decision.state !== 'rolling';
      if (isNews || isDecided) await announce(client, ring);
      return value;
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
    const { commit } = this.#target;
    const { changes } = this;
    await client.query(
      `update ring_operations set state = 'reverting', reason = $2, decided_at = now() where id = $1`,
      [this.id, reason],
    );
    // What changes nothing of the last good lock would be contained in every lock.
    if (changes.length > 0) {
      const failed = { changes, reason, commit };
      await overwriteRecord(client, ring, 'failure', changesKey(changes), failed);
    }
    await announce(client, ring);
  }

  async #setCommitted(client: pg.Client): Promise<void> {
    const { lock, digest, commit, branch } = this.#target;
    await client.query(
      `update ring_operations set state = 'committed', decided_at = now() where id = $1`,
      [this.id],
    );
    const good = goodValue({ lock, digest, commit });
    await overwriteRecord(client, this.#options.ring, 'good', '', good);
    // The ring is there from now on: whoever has not seen the commit takes nobody back from it.
    if (commit !== null) {
      await overwriteRecord(client, this.#options.ring, 'anchor', branch, { commit });
    }
  }

  async #refuseTurnedBack(): Promise<void> {
    const row = await this.#session.run((client) => readOperation(client, this.id));
    this.#requireGoing(row);
    if (row.state === 'reverting') throw turnedBack(row.reason ?? 'it failed');
  }

  async #runOnce(work: RingWork): Promise<void> {
    try {
      // A newer commit lets work that has begun come to its end: half of it helps nobody.
      const ending = AbortSignal.any([this.#options.ending, this.#session.signal]);
      const who = { ring: this.#options.ring, replica: this.#options.replica, operation: this.id };
      await runOnce(this.#session, who, work, ending);
    } catch (error) {
      // The end of this process or of its session is for the next replica to go on from.
      const isOwnFailure = isFailureOfWork(error) && !this.signal.aborted;
      if (isOwnFailure && !isOnlyReported(this.#target, work)) await this.turnBack(error.message);
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
