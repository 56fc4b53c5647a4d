import type pg from 'pg';
import type { RootStatus } from '../store/status-file.ts';

/** Keeps a replica's status, unless a later one is there, and forgets replicas silent for a week. */
export async function recordStatus(client: pg.Client, status: RootStatus): Promise<void> {
  await client.query(
    `insert into reconciler_status as s (ring, replica, state, commit, converged_commit, generation,
       last_error, observed_at, version, status)
     select r.ring, r.replica, r.state, r.commit, r.converged_commit, r.generation, r.last_error,
       coalesce(r.observed_at, now()), r.ringlock_version, $1::jsonb
     from jsonb_to_record($1::jsonb) as r (ring text, replica text, state text, commit text,
       converged_commit text, generation bigint, last_error jsonb, observed_at timestamptz,
       ringlock_version text)
     on conflict (ring, replica) do update set state = excluded.state, commit = excluded.commit,
       converged_commit = excluded.converged_commit, generation = excluded.generation,
       last_error = excluded.last_error, observed_at = excluded.observed_at,
       version = excluded.version, status = excluded.status
     where excluded.observed_at >= s.observed_at`,
    [JSON.stringify(status).replaceAll('\\u0000', '\\ufffd')],
  );
  await touchReplica(client, status.ring, status.replica);
  await client.query(
    `delete from reconciler_status where ring = $1 and observed_at < now() - interval '7 days'`,
    [status.ring],
  );
}

/** A replica is heard of; what it does in an operation of its ring stays as it is. */
async function touchReplica(client: pg.Client, ring: string, replica: string): Promise<void> {
  await client.query(
    `insert into ring_replicas (ring, replica, state) values ($1, $2, 'idle')
     on conflict (ring, replica) do update set seen_at = now()`,
    [ring, replica],
  );
}

/** A replica ends well: the ring waits for it no more. */
export async function leaveRing(client: pg.Client, ring: string, replica: string): Promise<void> {
  await client.query(
    `update ring_replicas set seen_at = '-infinity' where ring = $1 and replica = $2`,
    [ring, replica],
  );
}
