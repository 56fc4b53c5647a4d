import { join } from 'node:path';
import { type RootStatus, readStatus } from '../store/status-file.ts';
import { withDatabase } from './database.ts';
import type { AuditEvent } from './event.ts';
import { ensureSchema } from './schema.ts';
import { provenEvents } from './verify-journal.ts';

/** A ring's Postgres, or one root's directory on disk. */
export type AuditSource = { readonly databaseUrl: string } | { readonly root: string };

export interface HistoryFilter {
  readonly alias?: string | undefined;
  readonly ring?: string | undefined;
  /** Only what led to this version. */
  readonly to?: string | undefined;
  /** The most rows (default 50). */
  readonly limit?: number | undefined;
}

/** One audit event, as `history` shows it. */
export interface HistoryRow {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly ring: string;
  readonly replica: string;
  readonly module: string | null;
  readonly action: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly digest: string | null;
  readonly outcome: string;
  readonly actor: string;
  readonly commit: string | null;
  readonly operation_id: string;
  readonly message: string | null;
}

/**
 * What happened, latest first: one query in Postgres, or the journal of a root.
 *
 * @throws RinglockError `database-…`, `audit-journal-broken`
 */
export async function readHistory(
  source: AuditSource,
  filter: HistoryFilter = {},
): Promise<HistoryRow[]> {
  return 'root' in source
    ? readLocalHistory(source.root, filter)
    : withDatabase(source.databaseUrl, async (client) => {
        await ensureSchema(client);
        const { rows } = await client.query<HistoryRow & { time: Date | string }>(historyQuery, [
          filter.alias ?? null,
          filter.ring ?? null,
          filter.limit ?? defaultLimit,
          filter.to ?? null,
        ]);
        return rows.map((row) => ({ ...row, time: new Date(row.time).toISOString() }));
      });
}

/** A replica's status; `stale` when it has not been heard of for a quarter of an hour. */
export interface ReplicaStatus extends RootStatus {
  readonly stale: boolean;
}

/**
 * The status of one root, or of every replica that reports to a database.
 *
 * @throws RinglockError `database-…`, `status-unreadable`
 */
export async function readStatuses(source: AuditSource, ring?: string): Promise<ReplicaStatus[]> {
  if ('root' in source) {
    const status = await readStatus(source.root);
    const wanted = status !== undefined && (ring === undefined || status.ring === ring);
    return wanted ? [{ ...status, stale: false }] : [];
  }
  return withDatabase(source.databaseUrl, async (client) => {
    await ensureSchema(client);
    const { rows } = await client.query<{ status: RootStatus; stale: boolean }>(
      `select status, observed_at < now() - interval '15 minutes' as stale from reconciler_status
       where $1::text is null or ring = $1 order by ring, replica`,
      [ring ?? null],
    );
    return rows.map(({ status, stale }) => ({ ...status, stale }));
  });
}

/**
 * What `status --exit-code` ends with: 0 all converged, 1 not all, 3 nothing known or unreachable.
 * Replicas not heard of any more are pods that are gone, unless there is no other.
 */
export function statusExitCode(statuses: readonly ReplicaStatus[]): 0 | 1 | 3 {
  const present = statuses.filter(({ stale }) => !stale);
  if (present.length === 0) return 3;
  if (present.every(({ state }) => state === 'converged')) return 0;
  return present.some(({ state }) => state !== 'converged' && state !== 'unreachable') ? 1 : 3;
}

const defaultLimit = 50;

const historyQuery = `
select occurred_at as time, ring, replica, module, action,
  coalesce(from_version, detail ->> 'from_generation') as "from",
  coalesce(to_version, detail ->> 'to_generation') as "to",
  digest, outcome, actor, commit, operation_id, coalesce(detail ->> 'message', detail ->> 'reason') as message
from audit_events
where ($1::text is null or module = $1) and ($2::text is null or ring = $2)
  and ($4::text is null or to_version = $4)
order by occurred_at desc, sequence desc, id desc
limit $3`;

async function readLocalHistory(root: string, filter: HistoryFilter): Promise<HistoryRow[]> {
  const rows: HistoryRow[] = [];
  const limit = filter.limit ?? defaultLimit;
  for await (const event of provenEvents(join(root, 'audit'))) {
    if (filter.alias !== undefined && event.module !== filter.alias) continue;
    if (filter.ring !== undefined && event.ring !== filter.ring) continue;
    if (filter.to !== undefined && event.to !== filter.to) continue;
    rows.push(rowOf(event));
    if (rows.length > limit) rows.shift();
  }
  return rows.reverse();
}

function rowOf(event: AuditEvent): HistoryRow {
  const { detail } = event;
  return {
    time: event.time,
    ring: event.ring,
    replica: event.replica,
    module: event.module,
    action: event.action,
    from: event.from ?? text(detail['from_generation']),
    to: event.to ?? text(detail['to_generation']),
    digest: event.digest,
    outcome: event.outcome,
    actor: event.actor.name,
    commit: event.actor.commit,
    operation_id: event.operationId,
    message: text(detail['message']) ?? text(detail['reason']),
  };
}

/** As Postgres' ->> gives it. */
function text(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
