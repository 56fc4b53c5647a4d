import type { AuditLog } from '../audit/audit-log.ts';
import { generationPath } from '../store/layout.ts';
import type { Root } from '../store/root.ts';
import type { Log } from './log.ts';

/**
 * Finishes what a killed process left (invariant 4). A switch that had not happened is dropped, and the
 * next pass plans from the real state; one that had happened gets its events, each exactly once, by id.
 * One whose verdict is still out stays open for the next pass; one that was going back goes back.
 */
export async function recoverOperation(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const unfinished = root.journal.unfinished();
  if (unfinished === undefined) return;
  const { prepared, reverting } = unfinished;
  const { operationId, toGeneration, fromGeneration, events, gate } = prepared;
  const isVisible = (await root.current())?.number === toGeneration;
  const say = (outcome: string) => {
    log.warn(`an operation was cut off ${isVisible ? 'after' : 'before'} its switch`, {
      operation: operationId,
      outcome,
    });
  };
  if (reverting !== undefined) {
    if (isVisible && fromGeneration !== null) {
      const path = generationPath(root.path, fromGeneration);
      await root.switchTo({ number: fromGeneration, path });
    }
    await audit.append(reverting.events);
    await root.journal.append({ type: 'reverted', operationId });
    return say('reverted');
  }
  if (!isVisible) {
    await root.journal.append({ type: 'reverted', operationId });
    return say('reverted');
  }
  if (gate !== undefined) {
    await audit.append(events.slice(0, -1));
    return say('goes on');
  }
  await audit.append(events);
  await root.journal.append({ type: 'committed', operationId });
  say('committed');
}
