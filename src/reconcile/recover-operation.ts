import type { AuditLog } from '../audit/audit-log.ts';
import type { UnfinishedOperation } from '../store/journal.ts';
import { generationPath } from '../store/layout.ts';
import type { Root } from '../store/root.ts';
import type { Log } from './log.ts';

/** How an operation that was cut off was ended; `open`: its verdict is still out, the next pass goes on. */
type Recovered = 'committed' | 'reverted' | 'open';

/**
 * Finishes what a killed process, or a pass that failed half-way, left (invariant 4). A switch that had
 * not happened is dropped, and the next pass plans from the real state; one that had happened gets its
 * events, each exactly once, by id. One whose verdict is still out stays open; one that was going back
 * goes back.
 *
 * @returns undefined when there was nothing to finish
 */
export async function finishOperation(root: Root, audit: AuditLog): Promise<Recovered | undefined> {
  const unfinished = root.journal.unfinished();
  if (unfinished === undefined) return undefined;
  const { operationId, toGeneration, events, gate } = unfinished.prepared;
  if (unfinished.reverting !== undefined) return finishRevert(root, audit, unfinished);
  if ((await root.current())?.number !== toGeneration) {
    await root.journal.append({ type: 'reverted', operationId });
    return 'reverted';
  }
  await audit.append(gate === undefined ? events : events.slice(0, -1));
  if (gate !== undefined) return 'open';
  await root.journal.append({ type: 'committed', operationId });
  return 'committed';
}

async function finishRevert(
  root: Root,
  audit: AuditLog,
  { prepared, reverting }: UnfinishedOperation,
): Promise<Recovered> {
  const { operationId, fromGeneration: number, toGeneration, events } = prepared;
  const isBack = (await root.current())?.number !== toGeneration;
  if (!isBack && number !== null) {
    await root.switchTo({ number, path: generationPath(root.path, number) });
  }
  // Of the events of the switch, those of its steps came before; the whole did not succeed.
  await audit.append(events.slice(0, -1));
  await audit.append(reverting?.events ?? []);
  await root.journal.append({ type: 'reverted', operationId });
  return 'reverted';
}

/** The same, said in the log. */
export async function recoverOperation(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const operation = root.journal.unfinished()?.prepared.operationId;
  const outcome = await finishOperation(root, audit);
  if (outcome === undefined) return;
  const where = outcome === 'reverted' ? 'before its end' : 'after its switch';
  log.warn(`an operation was cut off ${where}`, { operation, outcome });
}
