import type { AuditEvent } from './event.ts';

/** An event as the tables of Postgres and SQLite have it. */
export interface EventRow {
  readonly id: string;
  readonly sequence: number | string;
  /** RFC 3339, UTC, with as many decimals as the table keeps. */
  readonly occurred_at: string | null;
  readonly ring: string;
  readonly replica: string;
  readonly actor: string;
  readonly commit: string | null;
  readonly operation_id: string;
  readonly action: string;
  readonly module: string | null;
  readonly from_version: string | null;
  readonly to_version: string | null;
  readonly digest: string | null;
  readonly outcome: string;
  /** JSON, parsed. */
  readonly detail: unknown;
  readonly previous: string;
  readonly hash: string;
}

/** Columns of `audit_events` that make an event, for a SELECT in Postgres; what a Date cannot hold shows in the time. */
export const eventColumns = `id::text, sequence, to_char(occurred_at at time zone 'UTC',
  'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at, ring, replica, actor, commit,
  operation_id::text, action, module, from_version, to_version, digest, outcome, detail, previous, hash`;

/** The event that a row stands for: byte for byte what was hashed, unless the row was changed. */
export function eventOfRow(row: EventRow): AuditEvent {
  return {
    id: row.id,
    sequence: Number(row.sequence),
    time: (row.occurred_at ?? '').replace(/(\.\d{3})000Z$/, '$1Z'),
    ring: row.ring,
    replica: row.replica,
    actor: { name: row.actor, commit: row.commit },
    operationId: row.operation_id,
    action: row.action as AuditEvent['action'],
    module: row.module,
    from: row.from_version,
    to: row.to_version,
    digest: row.digest,
    outcome: row.outcome as AuditEvent['outcome'],
    detail: row.detail as AuditEvent['detail'],
    previous: row.previous,
    hash: row.hash,
  };
}
