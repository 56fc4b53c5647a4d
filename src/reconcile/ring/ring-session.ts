import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { connectDatabase, databaseFailed, endClient, inTransaction } from '../../audit/database.ts';
import { refuseTransactionPooler } from '../../audit/pooler.ts';
import { ensureSchema } from '../../audit/schema.ts';
import { environmentFailed, type RinglockError } from '../../errors.ts';
import { OperationStopped } from './ring-operation.ts';

/** How often a session shows that it lives, and how long an answer may take, in ms. */
const heartbeatMs = 2_000;
const answerMs = 5_000;
/**
 * The server ends a silent session in about 11 s: later than this side gives it up. Keepalives are not
 * sent while something that was sent waits for its acknowledgement, hence the user timeout; and a
 * backend that waits for a lock looks at its client only when told to.
 */
const serverSettings = {
  tcp_keepalives_idle: '5',
  tcp_keepalives_interval: '2',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '11s',
  client_connection_check_interval: '2s',
  // The locks are held while nothing is asked.
  idle_session_timeout: '0',
};
const channel = 'ringlock';

/**
 * A database session for as long as an operation: while it lives, its advisory locks say that this
 * replica does. Once it is lost, `signal` is aborted with the reason and nothing more goes through it.
 */
export class RingSession {
  readonly #url: string;
  readonly #client: pg.Client;
  readonly #ring: string;
  readonly #lost = new AbortController();
  #queue: Promise<unknown> = Promise.resolve();
  #wake: (() => void) | undefined;
  /** Told whenever something of the ring changed. */
  onNews: (() => void) | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  readonly #loss: Promise<never>;

  private constructor(url: string, client: pg.Client, ring: string) {
    this.#url = url;
    this.#client = client;
    this.#ring = ring;
    const { signal } = this.#lost;
    this.#loss = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#loss.catch(() => {});
    client.on('notification', ({ payload }) => {
      if (payload !== ring) return;
      this.#wake?.();
      this.onNews?.();
    });
    client.on('error', (error) => this.#lose(error));
    client.on('end', () => this.#lose(new Error('the connection ended')));
  }

  /** @throws RinglockError `database-…` */
  static async open(url: string, ring: string): Promise<RingSession> {
    const client = await connectDatabase(url);
    const session = new RingSession(url, client, ring);
    try {
      await refuseTransactionPooler(client, url);
      await ensureSchema(client);
      await client.query(
        // Older servers lack some of them.
        `select set_config(name, value, false) from unnest($1::text[], $2::text[]) as wanted (name, value)
         where exists (select from pg_settings known where known.name = wanted.name)`,
        [Object.keys(serverSettings), Object.values(serverSettings)],
      );
      await client.query(`listen ${channel}`);
    } catch (error) {
      await endClient(client);
      throw databaseFailed(error, url);
    }
    session.#heartbeat = setInterval(() => session.#beat(), heartbeatMs);
    return session;
  }

  /** Aborted when the session is lost; the reason is a RinglockError. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Runs statements, one caller at a time. */
  async run<T>(use: (client: pg.Client) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      this.#lost.signal.throwIfAborted();
      try {
        // What was sent into a connection that is lost may never be answered.
        return await Promise.race([use(this.#client), this.#loss]);
      } catch (error) {
        throw this.#failed(error);
      }
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  transact<T>(use: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.run((client) => inTransaction(client, () => use(client)));
  }

  /** Says to every replica that something of the ring has changed. */
  async announce(): Promise<void> {
    await this.run((client) => announce(client, this.#ring));
  }

  /** Whether this session now holds the lock of a name. */
  async tryLock(name: string): Promise<boolean> {
    const { rows } = await this.run((client) =>
      client.query<{ taken: boolean }>(
        'select pg_try_advisory_lock(hashtextextended($1, 0)) as taken',
        [name],
      ),
    );
    return rows[0]?.taken === true;
  }

  async unlock(name: string): Promise<void> {
    await this.run((client) =>
      client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name]),
    );
  }

  /** Until something of the ring changed, or the time is over. */
  async changed(ms: number, signal: AbortSignal): Promise<void> {
    const waited = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const timeout = delay(ms, undefined, { signal: AbortSignal.any([waited.signal, signal]) });
    await Promise.race([woken, timeout.catch(() => {})]);
    waited.abort();
    this.#wake = undefined;
    signal.throwIfAborted();
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#client.removeAllListeners('end');
    await endClient(this.#client);
  }

  #beat(): void {
    const silent = new Promise<never>((_, reject) => {
      setTimeout(
        () => reject(new Error('timeout: the database does not answer')),
        answerMs,
      ).unref();
    });
    Promise.race([this.run((client) => client.query('select 1')), silent]).catch((error) =>
      this.#lose(error),
    );
  }

  #lose(error: unknown): void {
    if (this.#lost.signal.aborted) return;
    clearInterval(this.#heartbeat);
    const failed = databaseFailed(error, this.#url);
    this.#lost.abort(
      environmentFailed('database-unreachable', failed.message, {
        hint: 'The replica goes on when the database answers again.',
      }),
    );
    // A socket that answers no more is not waited for.
    (
      this.#client as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
  }

  #failed(error: unknown): Error {
    if (this.#lost.signal.aborted) return this.#lost.signal.reason as RinglockError;
    if (error instanceof OperationStopped) return error;
    return databaseFailed(error, this.#url);
  }
}

/** Wakes every replica of a ring that listens. */
export async function announce(client: pg.Client, ring: string): Promise<void> {
  await client.query('select pg_notify($1, $2)', [channel, ring]);
}
