import { uuidTime } from '../audit/audit-log.ts';
import type { AuditEvent } from '../audit/event.ts';
import { type Cursor, readJournal } from '../audit/journal.ts';
import type { NewsModule, NewsOperation } from './news.ts';

export interface EndedOperation {
  readonly outcome: 'succeeded' | 'reverted';
  readonly commit: string | null;
  readonly operation: NewsOperation;
  /** Why it was taken back; empty for one that succeeded. */
  readonly reason: string;
}

/** The operations that events tell the end of, each with its steps, oldest first. */
export function endedOperations(events: readonly AuditEvent[]): EndedOperation[] {
  return events.flatMap((event) => {
    const { action, outcome, operationId, detail, actor } = event;
    if (action !== 'operation' || (outcome !== 'succeeded' && outcome !== 'reverted')) return [];
    const own = events.filter((step) => step.operationId === operationId && isStep(step));
    const modules = own.filter((step) => step.outcome === outcome).map(moduleOf);
    const operation: NewsOperation = {
      id: operationId,
      ring_operation: textOf(detail['ring_operation']),
      by: actor.name,
      lock_commit: actor.commit,
      duration_ms: Math.max(0, Date.parse(event.time) - uuidTime(operationId)),
      modules,
    };
    const commit = textOf(detail['commit']);
    return [{ outcome, commit, operation, reason: textOf(detail['reason']) ?? '' }];
  });
}

/**
 * Reads what a root's journal has of ended operations after a place: steps whose operation is not over
 * yet are left for the next time.
 *
 * @param directory `<root>/audit`
 * @throws RinglockError `audit-journal-broken`
 */
export async function readEndedEvents(
  directory: string,
  from: Cursor,
): Promise<{ readonly events: readonly AuditEvent[]; readonly cursor: Cursor }> {
  const events: AuditEvent[] = [];
  let whole = { count: 0, cursor: from };
  let isOpen = false;
  for await (const { event, cursor } of readJournal(directory, from)) {
    events.push(event);
    if (isStep(event)) isOpen = true;
    else if (event.action === 'operation') isOpen = false;
    if (!isOpen) whole = { count: events.length, cursor };
  }
  return { events: events.slice(0, whole.count), cursor: whole.cursor };
}

function isStep({ action }: AuditEvent): boolean {
  return action !== 'operation' && action !== 'operator' && action !== 'tenant';
}

/** What a step led from and to: taken back, the other way round. */
function moduleOf({ module, action, from, to, outcome }: AuditEvent): NewsModule {
  const isBack = outcome === 'reverted';
  return {
    module: module ?? '',
    action: isBack ? 'revert' : action,
    from: isBack ? to : from,
    to: isBack ? from : to,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
