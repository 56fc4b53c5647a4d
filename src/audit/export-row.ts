import type { AuditEvent } from './event.ts';
import { eventOfRow } from './event-row.ts';

/** An event as it is exported: the columns in this order, in every version. */
export interface ExportRow {
  /** The chain: the id of its first event. */
  readonly chain: string | null;
  readonly sequence: number;
  /** 0; greater where a root chained the event anew after a damage, and it is told again. */
  readonly copy: number;
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly ring: string;
  readonly replica: string;
  readonly actor: string;
  readonly commit: string | null;
  readonly operation_id: string;
  readonly action: string;
  readonly module: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly digest: string | null;
  readonly outcome: string;
  readonly detail: unknown;
  readonly previous: string;
  readonly hash: string;
}

export const exportColumns = [
  ...(['chain', 'sequence', 'copy', 'id', 'time', 'ring', 'replica', 'actor', 'commit'] as const),
  ...(['operation_id', 'action', 'module', 'from', 'to', 'digest', 'outcome', 'detail'] as const),
  ...(['previous', 'hash'] as const),
] as const satisfies readonly (keyof ExportRow)[];

export function exportRow(chain: string | null, copy: number, event: AuditEvent): ExportRow {
  return {
    chain,
    sequence: event.sequence,
    copy,
    id: event.id,
    time: event.time,
    ring: event.ring,
    replica: event.replica,
    actor: event.actor.name,
    commit: event.actor.commit,
    operation_id: event.operationId,
    action: event.action,
    module: event.module,
    from: event.from,
    to: event.to,
    digest: event.digest,
    outcome: event.outcome,
    detail: event.detail,
    previous: event.previous,
    hash: event.hash,
  };
}

/** The event of an exported row. */
export function eventOfExport(row: ExportRow): AuditEvent {
  return eventOfRow({
    ...row,
    occurred_at: row.time,
    from_version: row.from,
    to_version: row.to,
  });
}
