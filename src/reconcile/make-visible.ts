import type { AuditLog } from '../audit/audit-log.ts';
import type { AuditEventInput } from '../audit/event.ts';
import type { Generation } from '../store/generation.ts';
import type { Gate } from '../store/journal.ts';
import { generationPath } from '../store/layout.ts';
import type { Root } from '../store/root.ts';
import { revertEvents } from './operation-events.ts';
import { finishOperation } from './recover-operation.ts';

export interface VisibleChange {
  readonly operationId: string;
  /** The commit whose lock is made true; null for what no commit asked for. */
  readonly commit: string | null;
  /** What `current` shows before. */
  readonly before: Generation | undefined;
  /** Built, complete, not yet visible. */
  readonly after: Generation;
  /** Of its steps, then of the whole. */
  readonly events: readonly AuditEventInput[];
  /** Present: commitChange(), or beginRevert() and endRevert() follow. */
  readonly gate?: Gate;
}

/**
 * Switches `current` and records it. What is written ahead lets recoverOperation() finish or drop the
 * operation wherever the process is killed: the events are in the journal before the switch, and in
 * the audit before the change counts as made (invariants 3 and 4).
 */
export async function makeVisible(
  root: Root,
  audit: AuditLog,
  { operationId, commit, before, after, events, gate }: VisibleChange,
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
    ...(gate !== undefined && { gate }),
  });
  await root.switchTo(after);
  await root.journal.append({ type: 'switched', operationId });
  if (gate !== undefined) {
    await audit.append(events.slice(0, -1));
    return;
  }
  await audit.append(events);
  await root.journal.append({ type: 'committed', operationId });
}

/** What a journal knows of a change that is visible and not yet committed. */
export type OpenChange = Pick<VisibleChange, 'operationId' | 'events'> & {
  readonly fromGeneration: number | null;
};

/**
 * Ends an open change that stays: committed when it was found well, superseded when it was stopped
 * before that.
 */
export async function commitChange(
  root: Root,
  audit: AuditLog,
  { operationId, events }: OpenChange,
  outcome: 'succeeded' | 'superseded',
  detail: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await audit.append(
    events.map((event) =>
      event.action === 'operation'
        ? { ...event, outcome, detail: { ...event.detail, ...detail } }
        : event,
    ),
  );
  await root.journal.append({ type: 'committed', operationId });
}

/**
 * Begins to end an open change by switching back; written ahead as the switch itself is. It stays open
 * until endRevert(): what the ring and the application have to be told comes between.
 */
export async function beginRevert(
  root: Root,
  audit: AuditLog,
  { operationId, events, fromGeneration }: OpenChange,
  reason: string,
): Promise<void> {
  const undoing = revertEvents(events, reason);
  await root.journal.append({ type: 'reverting', operationId, events: undoing });
  if (fromGeneration !== null) {
    await root.switchTo({
      number: fromGeneration,
      path: generationPath(root.path, fromGeneration),
    });
  }
  // A pass that failed right after its switch has not told of its steps yet.
  await audit.append([...events.slice(0, -1), ...undoing]);
}

export async function endRevert(root: Root, { operationId }: OpenChange): Promise<void> {
  await root.journal.append({ type: 'reverted', operationId });
}
