import type pg from 'pg';
import type { AuditEvent } from './event.ts';

/**
 * Records events and what follows from them, inside the caller's transaction. Recording one again
 * changes nothing, and the tables end the same in whatever order replicas deliver: every row is made
 * from the earliest or the latest of all recorded events, never from what came in last.
 *
 * @param root the chain's name: the id of its first event
 * @returns how many were not there before
 */
export async function recordEvents(
  client: pg.Client,
  root: string,
  events: readonly AuditEvent[],
): Promise<number> {
  const rings = [...new Set(events.map(({ ring }) => ring))].sort();
  // One delivery at a time for each ring, so that the latest event is known to be the latest.
  for (const ring of rings) {
    await client.query(
      `select pg_advisory_xact_lock(hashtextextended('ringlock ring ' || $1, 0))`,
      [ring],
    );
  }
  const { rowCount } = await client.query(insertEvents, [root, JSON.stringify(events)]);
  if (rowCount !== events.length) {
    await client.query(insertRechained, [root, JSON.stringify(events)]);
  }
  const ids = [events.map(({ id }) => id)];
  await client.query(insertModules, ids);
  await client.query(upsertVersions, ids);
  await client.query(deactivateVersions, ids);
  await client.query(activateVersions, ids);
  await client.query(upsertOperations, ids);
  await client.query(upsertRings, ids);
  return rowCount ?? 0;
}

/** A number of the event's detail, or null: detail is free, and must never stop a delivery. */
function numberIn(field: string): string {
  return `(case when jsonb_typeof(detail -> '${field}') = 'number'
    and abs((detail ->> '${field}')::numeric) < 1e15 then (detail ->> '${field}')::numeric end)`;
}

const eventColumns = `id, root, sequence, occurred_at, ring, replica, actor, commit, operation_id,
  action, module, from_version, to_version, digest, outcome, detail, previous, hash`;

const eventValues = `
select e.id, $1::uuid, e.sequence, e.time, e.ring, e.replica, e.actor ->> 'name', e.actor ->> 'commit',
  e."operationId", e.action, e.module, e."from", e."to", e.digest, e.outcome, e.detail, e.previous, e.hash
from jsonb_to_recordset($2::jsonb) as e (id uuid, sequence bigint, time timestamptz, ring text,
  replica text, actor jsonb, "operationId" uuid, action text, module text, "from" text, "to" text,
  digest text, outcome text, detail jsonb, previous text, hash text)`;

const insertEvents = `
insert into audit_events (${eventColumns}) ${eventValues}
on conflict (id) do nothing`;

/** What a root chained anew after a damage is kept beside, so that its chain can be followed here. */
const insertRechained = `
insert into audit_rechained (${eventColumns}) ${eventValues}
join audit_events there on there.id = e.id and there.hash <> e.hash
order by e.sequence
on conflict (root, hash) do nothing`;

// Sorted, so that two rings' deliveries wait for each other's new rows in one order.
const insertModules = `
insert into modules (alias)
select distinct module from audit_events where id = any($1::uuid[]) and module is not null
order by module
on conflict do nothing`;

const upsertVersions = `
insert into module_versions as v (ring, alias, version, content_hash, source_path, changelog,
  size_bytes, created_by, created_at, updated_at)
select distinct on (ring, module, to_version, digest) ring, module, to_version, digest,
  detail ->> 'source_path', detail ->> 'changelog',
  ${numberIn('size_bytes')}::bigint,
  actor, occurred_at, occurred_at
from audit_events
where id = any($1::uuid[]) and outcome = 'succeeded'
  and action in ('install', 'upgrade', 'downgrade', 'repair')
  and module is not null and to_version is not null and digest ~ '^sha256:[0-9a-f]{64}$'
order by ring, module, to_version, digest, occurred_at, id
on conflict (ring, alias, version, content_hash) do update set
  created_by = excluded.created_by, created_at = excluded.created_at,
  source_path = excluded.source_path, changelog = excluded.changelog, size_bytes = excluded.size_bytes
where (excluded.created_at, excluded.created_by) < (v.created_at, v.created_by)`;

/** For each module of the batch, the version that the latest recorded change of its ring left active. */
const latestChange = `
touched as (
  select distinct ring, module from audit_events where id = any($1::uuid[]) and module is not null
),
latest as (
  select t.ring, t.module, l.*
  from touched t cross join lateral (
    select occurred_at, operation_id, action, from_version, to_version, digest, outcome
    from audit_events e
    where e.ring = t.ring and e.module = t.module and e.outcome in ('succeeded', 'reverted')
      and e.action in ('install', 'upgrade', 'downgrade', 'repair', 'remove')
    order by occurred_at desc, operation_id desc, id desc limit 1
  ) l
),
active as (
  select l.ring, l.module, l.occurred_at, l.operation_id, v.id
  from latest l left join lateral (
    select id from module_versions v
    where v.ring = l.ring and v.alias = l.module and case
      when l.outcome = 'reverted' then v.version = l.from_version
      when l.action = 'remove' then false
      else v.version = l.to_version and v.content_hash = l.digest end
    order by created_at desc, id desc limit 1
  ) v on true
)`;

const deactivateVersions = `
with ${latestChange}
update module_versions v set is_active = false, updated_at = a.occurred_at
from active a
where v.ring = a.ring and v.alias = a.module and v.is_active and v.id is distinct from a.id`;

const activateVersions = `
with ${latestChange}
update module_versions v set is_active = true, activated_at = a.occurred_at,
  operation_id = a.operation_id, updated_at = a.occurred_at
from active a
where v.id = a.id
  and (not v.is_active or v.activated_at is distinct from a.occurred_at
    or v.operation_id is distinct from a.operation_id)`;

const upsertOperations = `
insert into operations as o (id, ring, replica, commit, actor, state, from_generation, to_generation,
  started_at, finished_at)
select distinct on (operation_id) operation_id, ring, replica, coalesce(detail ->> 'commit', commit),
  actor, outcome, ${numberIn('from_generation')}::bigint, ${numberIn('to_generation')}::bigint,
  occurred_at - make_interval(secs => coalesce(${numberIn('duration_ms')}, 0)::float8 / 1000),
  occurred_at
from audit_events
where id = any($1::uuid[]) and action = 'operation'
order by operation_id, occurred_at desc, id desc
on conflict (id) do update set state = excluded.state, to_generation = excluded.to_generation,
  finished_at = excluded.finished_at
where excluded.finished_at > o.finished_at`;

const upsertRings = `
insert into module_rings as r (name, commit, lock_digest, platform, operation_id, actor, updated_at)
select distinct on (ring) ring, coalesce(detail ->> 'commit', commit), detail ->> 'lock_digest',
  detail ->> 'platform', operation_id, actor, occurred_at
from audit_events
where id = any($1::uuid[]) and action = 'operation' and outcome = 'succeeded'
order by ring, occurred_at desc, operation_id desc
on conflict (name) do update set commit = excluded.commit, lock_digest = excluded.lock_digest,
  platform = excluded.platform, operation_id = excluded.operation_id, actor = excluded.actor,
  updated_at = excluded.updated_at
where (excluded.updated_at, excluded.operation_id) > (r.updated_at, r.operation_id)`;
