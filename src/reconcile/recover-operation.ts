import type { AuditLog } from '../audit/audit-log.ts';
import type { Root } from '../store/root.ts';
import type { Log } from './log.ts';

/**
 * Finishes what a killed process left: when the switch had happened, its events are appended (each
 * exactly once, by id) and the operation is committed; when it had not, the operation is reverted,
 * and the next pass plans from the real state (invariant 4).
 */
export async function recoverOperation(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const unfinished = root.journal.unfinished();
  if (unfinished === undefined) return;
  const { operationId, toGeneration, events } = unfinished.prepared;
  const current = await root.current();
  const visible = current?.number === toGeneration;
  if (visible) await audit.append(events);
  await root.journal.append({ type: visible ? 'committed' : 'reverted', operationId });
  log.warn(`an operation was cut off ${visible ? 'after' : 'before'} its switch`, {
    operation: operationId,
    outcome: visible ? 'committed' : 'reverted',
  });
}
