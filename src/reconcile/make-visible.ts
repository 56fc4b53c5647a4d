import type { AuditLog } from '../audit/audit-log.ts';
import type { AuditEventInput } from '../audit/event.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import { finishOperation } from './recover-operation.ts';

export interface VisibleChange {
  readonly operationId: string;
  /** The commit whose lock is made true; null for what no commit asked for. */
  readonly commit: string | null;
  /** What `current` shows before. */
  readonly before: Generation | undefined;
  /** Built, complete, not yet visible. */
  readonly after: Generation;
  readonly events: readonly AuditEventInput[];
}

/**
 * Switches `current` and records it. What is written ahead lets recoverOperation() finish or drop the
 * operation wherever the process is killed: the events are in the journal before the switch, and in
 * the audit before the operation counts as committed (invariants 3 and 4).
 */
export async function makeVisible(
  root: Root,
  audit: AuditLog,
  { operationId, commit, before, after, events }: VisibleChange,
): Promise<void> {
  // The journal knows one unfinished operation: the events of one that failed after its switch would
  // be lost with this one begun.
  await finishOperation(root, audit);
  await root.journal.append({
    type: 'prepared',
    operationId,
    fromGeneration: before?.number ?? null,
    toGeneration: after.number,
    commit,
    events,
  });
  await root.switchTo(after);
  await root.journal.append({ type: 'switched', operationId });
  await audit.append(events);
  await root.journal.append({ type: 'committed', operationId });
}
