import type pg from 'pg';
import { environmentFailed } from '../errors.ts';
import type { ChainRow } from './chain-rows.ts';
import type { EventFilter } from './event-filter.ts';
import { hashOfContent } from './event-line.ts';
import { type EventRow, eventColumns, eventOfRow } from './event-row.ts';

/** Which chains of a database are meant; all without any. */
export interface ChainFilter {
  readonly chain?: string | undefined;
  /** Only chains with an event of this ring. */
  readonly ring?: string | undefined;
  /** Only chains with an event of this replica. */
  readonly replica?: string | undefined;
}

/** One fetch of a cursor may have to sort all rows, in ms. */
export const snapshotTimeout = 600_000;

/**
 * Runs `use` in one snapshot of the database that is only read: no lock is taken that a writer waits for.
 *
 * @throws RinglockError `no-audit-tables`
 */
export async function inSnapshot<T>(client: pg.Client, use: () => Promise<T>): Promise<T> {
  await client.query('begin isolation level repeatable read read only');
  try {
    // The first statement, not BEGIN, takes the snapshot.
    if (!(await hasTable(client, 'audit_events'))) {
      throw environmentFailed('no-audit-tables', 'the database has no table audit_events', {
        hint: 'Give the database that the reconcilers report to; the first one that does makes the tables.',
      });
    }
    return await use();
  } finally {
    await client.query('rollback').catch(() => {});
  }
}

async function hasTable(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query('select to_regclass($1) is not null as found', [name]);
  return rows[0]?.found === true;
}

/** The name of the chain that has an event, as the database says. */
export async function chainOfEvent(client: pg.Client, id: string): Promise<string | undefined> {
  const { rows } = await client.query<{ root: string }>(
    'select root::text from audit_events where id = $1',
    [id],
  );
  return rows[0]?.root;
}

/**
 * The rows meant of the chains meant, ordered by chain and number, read by a cursor. Only in a
 * transaction.
 */
export async function* readChainRows(
  client: pg.Client,
  { chain, ring, replica }: ChainFilter,
  events: EventFilter = {},
): AsyncGenerator<ChainRow, void, void> {
  const hasCopies = await hasTable(client, 'audit_rechained');
  const query = hasCopies ? chainsWithCopies : chainsWithoutCopies;
  const { since, until, module, outcome } = events;
  const values = [chain, ring, replica, since, until, events.ring, module, outcome];
  for await (const row of readByCursor<DatabaseRow>(
    client,
    query,
    values.map((value) => value ?? null),
  )) {
    const event = eventOfRow(row);
    yield {
      chain: row.root,
      event,
      computed: hashOfContent(event),
      copy: Number(row.copy),
      later: row.later,
      file: row.copy === '0' ? 'audit_events' : 'audit_rechained',
      line: null,
    };
  }
}

/** Rows of a query, a thousand at a time. Only in a transaction. */
async function* readByCursor<Row extends pg.QueryResultRow>(
  client: pg.Client,
  query: string,
  values: readonly unknown[],
): AsyncGenerator<Row, void, void> {
  await client.query(`declare ringlock_rows no scroll cursor for ${query}`, [...values]);
  for (;;) {
    const { rows } = await client.query<Row>('fetch 1000 from ringlock_rows');
    yield* rows;
    if (rows.length === 0) break;
  }
  await client.query('close ringlock_rows');
}

interface DatabaseRow extends EventRow {
  readonly root: string;
  readonly copy: string;
  readonly later: ChainRow['later'];
}

const wanted = `($1::uuid is null or root = $1)
  and ($2::text is null or root in (select root from audit_events where ring = $2))
  and ($3::text is null or root in (select root from audit_events where replica = $3))
  and ($4::timestamptz is null or occurred_at >= $4) and ($5::timestamptz is null or occurred_at < $5)
  and ($6::text is null or ring = $6) and ($7::text is null or module = $7)
  and ($8::text is null or outcome = $8)`;

const chainsWithoutCopies = `
select root::text as root, ${eventColumns}, 0::bigint as copy, 'none' as later
from audit_events where ${wanted} order by audit_events.root, audit_events.sequence`;

/** A copy that says that it is one, and tells the same: sending a root again must not cover a changed row. */
const isSameEvent = `r.detail ? 'restored_from'
  and r.detail - 'restored_from' - 'happened_at' = e.detail - 'restored_from' - 'happened_at'
  and (r.ring, r.replica, r.actor, r.commit, r.operation_id, r.action, r.module, r.from_version,
    r.to_version, r.digest, r.outcome) is not distinct from (e.ring, e.replica, e.actor, e.commit,
    e.operation_id, e.action, e.module, e.from_version, e.to_version, e.digest, e.outcome)`;

const chainsWithCopies = `
select root::text as root, ${eventColumns}, copy,
  case
    when not exists (select from audit_rechained r where r.id = e.id and r.copy > e.copy) then 'none'
    when exists (select from audit_rechained r where r.id = e.id and r.copy > e.copy and ${isSameEvent})
    then 'same' else 'other' end as later
from (
  select root, sequence, id, occurred_at, ring, replica, actor, commit, operation_id, action, module,
    from_version, to_version, digest, outcome, detail, previous, hash, 0::bigint as copy
  from audit_events where ${wanted}
  union all
  select root, sequence, id, occurred_at, ring, replica, actor, commit, operation_id, action, module,
    from_version, to_version, digest, outcome, detail, previous, hash, copy
  from audit_rechained where ${wanted}
) e order by e.root, e.sequence, e.copy`;
