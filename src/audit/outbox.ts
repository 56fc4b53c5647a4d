import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { environmentFailed, RinglockError } from '../errors.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import type { FaultPoint } from '../store/fault-point.ts';
import type { RootStatus } from '../store/status-file.ts';
import { type DatabaseOptions, inTransaction, withDatabase } from './database.ts';
import type { AuditEvent } from './event.ts';
import { type Cursor, journalStart, readJournal } from './journal.ts';
import { recordEvents } from './projection.ts';
import { chainOfRoot } from './root-chain.ts';
import { ensureSchema } from './schema.ts';
import { leaveRing, recordStatus } from './status-report.ts';

export interface OutboxOptions
  extends Pick<DatabaseOptions, 'connectTimeout' | 'statementTimeout'> {
  /** `<root>/audit`, whose journal is what is to be sent. */
  readonly directory: string;
  /** Asked at every delivery, so that a rotated secret takes effect; undefined: keep everything. */
  readonly databaseUrl: () => Promise<string | undefined> | string | undefined;
  /** Events in one transaction (default 500). */
  readonly batchSize?: number;
  /** Milliseconds after which an unchanged status is sent again (default 30,000). */
  readonly statusInterval?: number;
  readonly now?: () => Date;
  /** Called at `outbox:committed` (before the cursor is kept) and `outbox:kept`. */
  readonly fault?: FaultPoint;
}

export interface Delivery {
  /** Events sent now. */
  readonly sent: number;
  /** Events not in Postgres yet. */
  readonly pending: number;
  /** Why something is still pending; no password in it. */
  readonly error: RinglockError | null;
}

/** What brings a root's journal to Postgres, in order, without loss or doubles. */
export interface Outbox {
  /** Sends what is pending; never throws: a database that is away is reported. */
  deliver(signal?: AbortSignal): Promise<Delivery>;
  /** Events not in Postgres yet, as far as this root knows. */
  pending(): Promise<number>;
  /** Sends this replica's status; an unchanged one now and then only. Returns what went wrong. */
  reportStatus(status: RootStatus, signal?: AbortSignal): Promise<RinglockError | null>;
  /** Says that this replica ends and is not to be waited for; a database that is away hears nothing. */
  leave(ring: string, replica: string): Promise<void>;
  /** Waits for the delivery under way. */
  close(): Promise<void>;
}

export function createOutbox(options: OutboxOptions): Outbox {
  return new JournalOutbox(options);
}

/** How far a chain is known to be in Postgres; kept in `<root>/audit/outbox.json`. */
interface Delivered {
  /** The chain: the id of its first event. */
  readonly root: string | null;
  readonly cursor: Cursor;
}

class JournalOutbox implements Outbox {
  private queue: Promise<unknown> = Promise.resolve();
  private delivered: Delivered | undefined;
  private lastStatus = { text: '', at: 0 };

  constructor(private readonly options: OutboxOptions) {}

  deliver(signal?: AbortSignal): Promise<Delivery> {
    return this.inTurn(async () => {
      let sent = 0;
      let error: RinglockError | null = null;
      try {
        const url = await this.options.databaseUrl();
        if (url !== undefined && (await this.countPending()) > 0) {
          await this.connected(url, signal, async (client) => {
            await this.resume(client);
            for (;;) {
              signal?.throwIfAborted();
              const count = await this.sendBatch(client);
              sent += count;
              if (count === 0) return;
            }
          });
        }
      } catch (thrown) {
        error = asRinglockError(thrown);
      }
      return { sent, pending: await this.countPending().catch(() => 0), error };
    });
  }

  pending(): Promise<number> {
    return this.inTurn(() => this.countPending());
  }

  reportStatus(status: RootStatus, signal?: AbortSignal): Promise<RinglockError | null> {
    return this.inTurn(async () => {
      const { observed_at: _observed, next_at: _next, ...lasting } = status;
      const text = JSON.stringify(lasting);
      const now = (this.options.now?.() ?? new Date()).getTime();
      const interval = this.options.statusInterval ?? 30_000;
      if (text === this.lastStatus.text && now - this.lastStatus.at < interval) return null;
      try {
        const url = await this.options.databaseUrl();
        if (url === undefined) return null;
        await this.connected(url, signal, (client) => recordStatus(client, status));
        this.lastStatus = { text, at: now };
        return null;
      } catch (thrown) {
        return asRinglockError(thrown);
      }
    });
  }

  /** Says that this replica is gone, if it was ever heard of. */
  leave(ring: string, replica: string): Promise<void> {
    return this.inTurn(async () => {
      if (this.lastStatus.at === 0) return;
      try {
        const url = await this.options.databaseUrl();
        if (url === undefined) return;
        await this.connected(url, undefined, (client) => leaveRing(client, ring, replica));
      } catch {
        // Silence says the same, later.
      }
    });
  }

  async close(): Promise<void> {
    await this.queue;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  private connected(
    url: string,
    signal: AbortSignal | undefined,
    use: (client: pg.Client) => Promise<void>,
  ): Promise<void> {
    const { connectTimeout, statementTimeout } = this.options;
    return withDatabase(
      url,
      async (client) => {
        await ensureSchema(client);
        await use(client);
      },
      {
        ...(connectTimeout !== undefined && { connectTimeout }),
        ...(statementTimeout !== undefined && { statementTimeout }),
        signal,
      },
    );
  }

  /**
   * Another or a restored database may hold less than was sent once: unless it has the event delivered
   * last, all is sent again.
   */
  private async resume(client: pg.Client): Promise<void> {
    const { root, cursor } = await this.load();
    if (cursor.sequence === 0) return;
    const { rows } = await client.query<{ found: boolean }>(hasEvent, [
      root ?? (await this.chainName()),
      cursor.sequence,
      cursor.hash,
    ]);
    if (rows[0]?.found !== true) this.delivered = { root, cursor: journalStart };
  }

  private async sendBatch(client: pg.Client): Promise<number> {
    const { cursor: from, root: known } = await this.load();
    const events: AuditEvent[] = [];
    let cursor = from;
    for await (const entry of readJournal(this.options.directory, from)) {
      events.push(entry.event);
      cursor = entry.cursor;
      if (events.length >= (this.options.batchSize ?? 500)) break;
    }
    if (events.length === 0) return 0;
    const root = known ?? (await this.chainName()) ?? '';
    await inTransaction(client, () => recordEvents(client, root, events));
    await this.options.fault?.('outbox:committed');
    this.delivered = { root, cursor };
    await writeFileAtomically(this.path(), `${JSON.stringify(this.delivered)}\n`, { mode: 0o644 });
    await this.options.fault?.('outbox:kept');
    return events.length;
  }

  private async countPending(): Promise<number> {
    const { cursor } = await this.load();
    let count = 0;
    for await (const _ of readJournal(this.options.directory, cursor)) count += 1;
    return count;
  }

  /** What was delivered; from the start where that is unknown or is of another journal. */
  private async load(): Promise<Delivered> {
    this.delivered ??= await this.readDelivered();
    return this.delivered;
  }

  private async readDelivered(): Promise<Delivered> {
    const root = await this.chainName();
    try {
      const kept = JSON.parse(await readFile(this.path(), 'utf8')) as Delivered;
      // Reading on from there shows that the place is one of this journal.
      if (kept.root === root) {
        await readJournal(this.options.directory, kept.cursor).next();
        return { root, cursor: { ...kept.cursor } };
      }
    } catch {
      // Missing, damaged or beyond the journal's end: sending again is harmless, skipping is not.
    }
    return { root, cursor: journalStart };
  }

  private chainName(): Promise<string | null> {
    return chainOfRoot(this.options.directory);
  }

  private path(): string {
    return join(this.options.directory, 'outbox.json');
  }
}

const hasEvent = `
select exists (select from audit_events where root = $1 and sequence = $2 and hash = $3)
  or exists (select from audit_rechained where root = $1 and sequence = $2 and hash = $3) as found`;

function asRinglockError(error: unknown): RinglockError {
  if (error instanceof RinglockError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return environmentFailed('audit-delivery-failed', text);
}
