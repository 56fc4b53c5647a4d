import type { AuditLog } from '../audit/audit-log.ts';
import type { Root } from '../store/root.ts';
import type { Log } from './log.ts';

/** How an operation that was cut off was ended. */
type Recovered = 'committed' | 'reverted';

/**
 * Finishes what a killed process, or a pass that failed half-way, left: when the switch had happened,
 * its events are appended (each exactly once, by id) and the operation is committed; when it had not,
 * the operation is reverted, and the next pass plans from the real state (invariant 4).
 *
 * @returns undefined when there was nothing to finish
 */
export async function finishOperation(root: Root, audit: AuditLog): Promise<Recovered | undefined> {
  const unfinished = root.journal.unfinished();
  if (unfinished === undefined) return undefined;
  const { operationId, toGeneration, events } = unfinished.prepared;
  const current = await root.current();
  const visible = current?.number === toGeneration;
  if (visible) await audit.append(events);
  await root.journal.append({ type: visible ? 'committed' : 'reverted', operationId });
  return visible ? 'committed' : 'reverted';
}

/** The same, said in the log. */
export async function recoverOperation(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const operation = root.journal.unfinished()?.prepared.operationId;
  const outcome = await finishOperation(root, audit);
  if (outcome === undefined) return;
  const where = outcome === 'committed' ? 'after' : 'before';
  log.warn(`an operation was cut off ${where} its switch`, { operation, outcome });
}
