import type pg from 'pg';
import { withDatabase } from '../audit/database.ts';
import { seedActor } from '../audit/event.ts';
import { ensureSchema } from '../audit/schema.ts';
import type { FailedSet } from '../plan/desired-lock.ts';
import type { SoakEvent } from '../repo/soak.ts';

/** What the audit database knows of a ring. */
export interface RingRecord {
  /** Steps of the asked modules by alias, in the order of time. */
  readonly events: ReadonlyMap<string, readonly SoakEvent[]>;
  /** Replicas that were heard of in the last quarter of an hour. */
  readonly replicas: readonly LiveReplica[];
  /** Sets of versions that failed and were not forgotten (`ringlock retry`). */
  readonly failures: readonly FailedSet[];
}

export interface LiveReplica {
  readonly replica: string;
  readonly state: string;
  /** Alias → version that it serves. */
  readonly modules: Readonly<Record<string, string>>;
  /** Why it is not well; null when it is. */
  readonly problem: string | null;
  /** When its reconciler last began after it had been killed. */
  readonly restartedAt: Date | null;
}

/** Versions that are asked for, with their module. */
export interface AskedVersion {
  readonly alias: string;
  readonly version: string;
}

/**
 * Reads what a ring's audit says of versions, of its replicas and of what failed.
 *
 * @throws RinglockError `database-…`
 */
export function readRingRecord(
  databaseUrl: string,
  ring: string,
  asked: readonly AskedVersion[],
): Promise<RingRecord> {
  return withDatabase(databaseUrl, async (client) => {
    await ensureSchema(client);
    return {
      events: await readEvents(client, ring, asked),
      replicas: await readReplicas(client, ring),
      failures: await readFailures(client, ring),
    };
  });
}

/**
 * Since the first of the asked versions came: what was before does not touch them. The operation that a
 * step belongs to stands after it in its root's chain.
 */
const eventsQuery = `
with asked as (
  select alias, version from jsonb_to_recordset($2::jsonb) as a (alias text, version text)
),
since as (
  select a.alias, min(e.occurred_at) as at
  from asked a join audit_events e
    on e.ring = $1 and e.module = a.alias and (e.to_version = a.version or e.from_version = a.version)
  group by a.alias
)
select e.module, e.root, e.occurred_at, e.action, e.outcome, e.from_version, e.to_version, e.digest,
  e.actor = $3 as is_seed,
  (select o.occurred_at from audit_events o
   where o.root = e.root and o.sequence > e.sequence and o.action = 'operation' and o.outcome = 'succeeded'
   order by o.sequence limit 1) as committed_at
from since s join audit_events e on e.ring = $1 and e.module = s.alias and e.occurred_at >= s.at
where e.action in ('install', 'upgrade', 'downgrade', 'repair', 'remove')
  and e.outcome in ('succeeded', 'reverted')
order by e.occurred_at, e.root, e.sequence`;

interface EventRow {
  readonly module: string;
  readonly root: string;
  readonly occurred_at: Date;
  readonly action: SoakEvent['action'];
  readonly outcome: SoakEvent['outcome'];
  readonly from_version: string | null;
  readonly to_version: string | null;
  readonly digest: string | null;
  readonly is_seed: boolean;
  readonly committed_at: Date | null;
}

async function readEvents(
  client: pg.Client,
  ring: string,
  asked: readonly AskedVersion[],
): Promise<Map<string, SoakEvent[]>> {
  const { rows } = await client.query<EventRow>(eventsQuery, [
    ring,
    JSON.stringify(asked),
    seedActor,
  ]);
  const events = new Map<string, SoakEvent[]>();
  for (const row of rows) {
    const { root, action, outcome, digest } = row;
    const of = events.get(row.module) ?? [];
    of.push({
      ...{ root, action, outcome, digest, from: row.from_version, to: row.to_version },
      isSeed: row.is_seed,
      at: row.occurred_at.getTime(),
      committedAt: row.committed_at?.getTime() ?? null,
    });
    events.set(row.module, of);
  }
  return events;
}

async function readReplicas(client: pg.Client, ring: string): Promise<LiveReplica[]> {
  const { rows } = await client.query<LiveReplica>(
    `select replica, state, coalesce(status -> 'modules', '{}'::jsonb) as modules,
       coalesce(last_error ->> 'message', status ->> 'degraded') as problem,
       (status -> 'restarts' ->> 'last_at')::timestamptz as "restartedAt"
     from reconciler_status where ring = $1 and observed_at >= now() - interval '15 minutes'
     order by replica`,
    [ring],
  );
  return rows;
}

async function readFailures(client: pg.Client, ring: string): Promise<FailedSet[]> {
  const { rows } = await client.query<{ value: FailedSet }>(
    `select value from ring_memory
     where ring = $1 and kind = 'failure' and value is not null and value <> 'null'::jsonb`,
    [ring],
  );
  return rows.map(({ value }) => value);
}
