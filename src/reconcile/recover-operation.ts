import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditLog, recentStart } from '../audit/audit-log.ts';
import type { AuditEventInput } from '../audit/event.ts';
import type { JournalRecord, UnfinishedOperation } from '../store/journal.ts';
import { auditPath, generationPath } from '../store/layout.ts';
import type { Root } from '../store/root.ts';
import type { Log } from './log.ts';

/** How an operation that was cut off was ended; `open`: the ring has not ended it, the next pass goes on. */
type Recovered = 'committed' | 'reverted' | 'open';

/**
 * Finishes what a killed process, or a pass that failed half-way, left (invariant 4). A switch that had
 * not happened is dropped, and the next pass plans from the real state; one that had happened gets its
 * events, each exactly once, by id. One whose verdict is still out stays open; one that was going back
 * goes back, and stays open until the ring and the application have been told.
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
  if (prepared.gate !== undefined) return 'open';
  await root.journal.append({ type: 'reverted', operationId });
  return 'reverted';
}

/** The same, said in the log. */
export async function recoverOperation(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const unfinished = root.journal.unfinished();
  const operation = unfinished?.prepared.operationId;
  const outcome = await finishOperation(root, audit);
  if (outcome === undefined) return;
  const isBack = outcome === 'reverted' || unfinished?.reverting !== undefined;
  const where = isBack ? 'before its end' : 'after its switch';
  log.warn(`an operation was cut off ${where}`, { operation, outcome });
}

/**
 * Appends again what the audit has lost of the operations that the journal still knows: its end was cut
 * off, or all of it deleted. The whole audit is read only when the newest operation is not at its end.
 *
 * @throws RinglockError `audit-journal-broken`, `audit-write-failed`
 */
export async function restoreLostEvents(root: Root, audit: AuditLog, log: Log): Promise<void> {
  const there = new Set<string>();
  const from = await recentStart(auditPath(root.path));
  for await (const { id } of audit.read(from)) there.add(id);
  const records = root.journal.records();
  const newest = records.findLast(({ type }) => type === 'committed' || type === 'reverting');
  const ofNewest = records.filter(({ operationId }) => operationId === newest?.operationId);
  if (lostEvents(ofNewest, there).length === 0) return;
  for await (const { id } of audit.read()) there.add(id);
  const lost = lostEvents(records, there);
  if (lost.length === 0) return;
  await audit.append(lost);
  // Without them its copy would look up to date.
  await rm(join(auditPath(root.path), 'audit.sqlite'), { force: true });
  log.warn(`the audit had lost ${lost.length} events; they are appended again from journal.jsonl`);
}

/** The events of ended operations that an audit does not have, marked as what they are. */
export function lostEvents(
  records: readonly JournalRecord[],
  there: ReadonlySet<string>,
): AuditEventInput[] {
  const idsOf = (wanted: JournalRecord['type']) =>
    new Set(records.flatMap(({ type, operationId }) => (type === wanted ? [operationId] : [])));
  const [committed, reverted] = [idsOf('committed'), idsOf('reverting')];
  return records.flatMap((record) => {
    if (record.type !== 'prepared' && record.type !== 'reverting') return [];
    const { operationId, events } = record;
    const isWhole = record.type === 'reverting' || committed.has(operationId);
    if (!isWhole && !reverted.has(operationId)) return [];
    // What went back again had its steps before, and did not succeed as a whole.
    return (isWhole ? events : events.slice(0, -1))
      .filter(({ id }) => !there.has(id))
      .map((event) => ({
        ...event,
        detail: { ...event.detail, restored_from: 'journal.jsonl', happened_at: record.time },
      }));
  });
}
