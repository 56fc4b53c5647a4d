import type pg from 'pg';
import { withDatabase } from '../../audit/database.ts';
import { ensureSchema } from '../../audit/schema.ts';
import { environmentFailed, RinglockError } from '../../errors.ts';
import type { Log } from '../log.ts';
import { DatabaseAbsence } from './database-absence.ts';
import { endLeftOvers, hasLeftOvers, type LeftOverFacts, type TidyUp } from './left-overs.ts';
import { readOpenTarget } from './operation-rows.ts';
import { joinThroughPostgres, rejoinThroughPostgres } from './postgres-ring.ts';
import type { RingMemory } from './ring-memory.ts';
import { announceNews } from './ring-news.ts';
import type { RingOperation, RingTarget } from './ring-operation.ts';
import {
  joinAlone,
  readOpenTarget as readOpenTargetAlone,
  rejoinAlone,
  syncShared,
} from './solo-ring.ts';

export interface MembershipOptions {
  readonly ring: string;
  readonly replica: string;
  /** Asked each time, so that a rotated secret takes effect; undefined: this replica is alone. */
  readonly databaseUrl: () => Promise<string | undefined>;
  readonly memory: RingMemory;
  /** Where the steps of an operation without a database are written. */
  readonly directory: string;
  /** Whether other processes of this host share that directory. */
  readonly isShared: boolean;
  /** How long a plan without ring work waits for a database that is away, in ms. */
  readonly graceMs: number;
  readonly log: Log;
}

/** How this replica stands to its ring: with a database that answers, with one that is away, or alone. */
export type Connection = 'database' | 'away' | 'alone';

export interface JoinRequest {
  readonly target: RingTarget;
  /** Whether the plan has migrations or handlers of the ring, which must run once. */
  readonly hasRingWork: boolean;
  readonly isOlder: (commit: string) => Promise<boolean>;
  /** Whether this replica has switched to the target already. */
  readonly isSwitched: boolean;
  /** Of the operation. */
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The process ends. */
  readonly ending: AbortSignal;
}

/** How often a replica that hears no announcements looks for what the ring has learned, in ms. */
const syncEveryMs = 5_000;

/** How often it is tried to end what an operation left undone, in ms. */
const leftOversEveryMs = 30_000;

/** A pooler that is refused is there, and stays what it is. */
function isAway({ code }: RinglockError): boolean {
  return code.startsWith('database-') && code !== 'database-transaction-pooler';
}

/** A replica's membership of its ring: shared memory, and operations taken part in. */
export class RingMembership {
  readonly memory: RingMemory;
  readonly #options: MembershipOptions;
  #connection: Connection = 'alone';
  #failure: RinglockError | undefined;
  #openTarget: string | undefined;
  readonly #absence: DatabaseAbsence;
  #syncing: Promise<boolean> | undefined;
  #lastSync = 0;
  #hasLeftOvers = false;
  #lastLeftOver = 0;

  constructor(options: MembershipOptions) {
    this.memory = options.memory;
    this.#options = options;
    this.#absence = new DatabaseAbsence(options.directory);
  }

  /** What the ring is on its way to, as the last sync found it; undefined when it is not. */
  get openTarget(): string | undefined {
    return this.#openTarget;
  }

  /** As the last sync found it. */
  get connection(): Connection {
    return this.#connection;
  }

  /**
   * Brings what is remembered here and in the ring together; a database that is away changes nothing.
   *
   * @returns whether anything was news here
   */
  sync(): Promise<boolean> {
    this.#syncing ??= this.#syncOnce().finally(() => {
      this.#syncing = undefined;
    });
    return this.#syncing;
  }

  /** The same every few seconds at most, for ticks in which nothing else is to do. */
  async syncNowAndThen(onNews: () => void): Promise<void> {
    if (performance.now() - this.#lastSync < syncEveryMs) return;
    if (await this.sync().catch(() => false)) onNews();
    if (!this.#hasLeftOvers || performance.now() - this.#lastLeftOver < leftOversEveryMs) return;
    this.#lastLeftOver = performance.now();
    onNews();
  }

  /** Tells the ring's other replicas that there is something to look at. */
  async announce(): Promise<void> {
    try {
      const url = await this.#options.databaseUrl();
      if (url === undefined) return;
      await withDatabase(url, (client) => announceNews(client, this.#options.ring));
    } catch {
      // Whoever does not hear looks by itself before long.
    }
  }

  /**
   * Takes part in the operation for a target. With the database away, a plan without ring work goes on
   * alone after a while, any other waits.
   *
   * @throws RinglockError `database-unreachable`, `ring-ahead`, …
   */
  async join(request: JoinRequest): Promise<RingOperation> {
    const { target, hasRingWork, isOlder, isSwitched, log, signal, ending } = request;
    const { ring, replica, directory, isShared, memory } = this.#options;
    const databaseUrl = await this.#options.databaseUrl();
    const isShadow = databaseUrl !== undefined;
    const alone = { directory, isShared, memory, isShadow, signal, ending };
    if (databaseUrl === undefined) return joinAlone(alone, target);
    try {
      const joined = await joinThroughPostgres(
        { ring, replica, databaseUrl, isOlder, isSwitched, signal, ending, log },
        target,
      );
      await this.#absence.end();
      return joined;
    } catch (error) {
      if (!(error instanceof RinglockError) || !isAway(error)) throw error;
      await this.#isAway(error);
      await this.#requireGrace(error, hasRingWork);
      log.warn('the database is away: this replica goes on alone', { reason: error.message });
      return joinAlone(alone, target);
    }
  }

  /**
   * Comes back to what the ring began for a target, to end it; begins nothing.
   *
   * @returns undefined when the ring has gone on to something else, or its database is away: what is then
   *   left to do is found by endLeftOvers()
   * @throws RinglockError `replica-name-taken`, `database-transaction-pooler`
   */
  async rejoin({
    target,
    signal,
    ending,
  }: Pick<JoinRequest, 'target' | 'signal' | 'ending'>): Promise<RingOperation | undefined> {
    const { ring, replica, log, directory, isShared, memory } = this.#options;
    const databaseUrl = await this.#options.databaseUrl();
    if (databaseUrl === undefined) {
      return rejoinAlone({ directory, isShared, memory, isShadow: false, signal, ending }, target);
    }
    const how = { isOlder: async () => false, isSwitched: true, signal, ending, log };
    try {
      return await rejoinThroughPostgres({ ring, replica, databaseUrl, ...how }, target);
    } catch (error) {
      if (!(error instanceof RinglockError) || !isAway(error)) throw error;
      await this.#isAway(error);
      return undefined;
    }
  }

  /**
   * Does work that one replica does for the ring, with the ring's memory at hand; another that does it
   * now makes this a call for nothing. With the database away nothing is done.
   *
   * @param use gets a connection where there is a database
   */
  async alone(what: string, use: (client: pg.Client | undefined) => Promise<void>): Promise<void> {
    const url = await this.#options.databaseUrl();
    if (url === undefined) return use(undefined);
    if (this.#connection !== 'database') return;
    await withDatabase(url, async (client) => {
      const { rows } = await client.query<{ taken: boolean }>(
        'select pg_try_advisory_lock(hashtextextended($1, 0)) as taken',
        [`ringlock ${what} ${this.#options.ring}`],
      );
      if (rows[0]?.taken !== true) return;
      await this.memory.sync(client);
      await use(client);
    });
  }

  /** Runs statements for the ring; undefined without a database. @throws RinglockError `database-…` */
  async withClient<T>(use: (client: pg.Client) => Promise<T>): Promise<T | undefined> {
    const url = await this.#options.databaseUrl();
    if (url === undefined) return undefined;
    return withDatabase(url, async (client) => {
      await ensureSchema(client);
      return use(client);
    });
  }

  /**
   * Ends what operations of the ring left undone when those that came last were killed.
   *
   * @param tidy lets the schema follow; gets the operation and the lock that everybody has left
   */
  async endLeftOvers(facts: LeftOverFacts, tidy: TidyUp): Promise<void> {
    const { ring, replica } = this.#options;
    if (this.#connection !== 'database') return;
    await this.withClient((client) => endLeftOvers(client, { ring, replica, ...facts }, tidy));
  }

  async #requireGrace(error: RinglockError, hasRingWork: boolean): Promise<void> {
    const { graceMs } = this.#options;
    const waited = await this.#absence.lastsFor();
    if (!hasRingWork && waited >= graceMs) return;
    throw environmentFailed(error.code, error.message, {
      hint: hasRingWork
        ? 'The plan has migrations or handlers that run once for the ring: it waits for the database.'
        : `Without migrations in the plan it goes on alone after ${Math.ceil((graceMs - waited) / 1000)} s (--database-grace).`,
    });
  }

  async #isAway(error: RinglockError): Promise<void> {
    await this.#absence.begin();
    this.#connection = 'away';
    if (this.#failure?.message !== error.message) {
      this.#options.log.warn(`the ring's memory waits: ${error.message}`);
    }
    this.#failure = error;
  }

  async #syncOnce(): Promise<boolean> {
    const url = await this.#options.databaseUrl();
    this.#lastSync = performance.now();
    if (url === undefined) {
      this.#connection = 'alone';
      const { directory, isShared, memory } = this.#options;
      this.#openTarget = await readOpenTargetAlone(directory);
      return isShared ? await syncShared(directory, memory) : false;
    }
    try {
      const isNews = await withDatabase(url, async (client) => {
        await ensureSchema(client);
        this.#openTarget = await readOpenTarget(client, this.#options.ring);
        this.#hasLeftOvers = await hasLeftOvers(client, this.#options.ring);
        return this.memory.sync(client);
      });
      this.#connection = 'database';
      await this.#absence.end();
      this.#failure = undefined;
      return isNews;
    } catch (error) {
      if (!(error instanceof RinglockError) || error.exitCode !== 3) throw error;
      await this.#isAway(error);
      return false;
    }
  }
}
