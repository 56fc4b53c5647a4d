import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditLog, recentStart } from '../audit/audit-log.ts';
import type { AuditEventInput } from '../audit/event.ts';
import type { JournalRecord } from '../store/journal.ts';
import { auditPath } from '../store/layout.ts';
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
  const newest = root.journal.records().findLast(({ type }) => type === 'committed')?.operationId;
  const atEnd = root.journal
    .records()
    .flatMap((record) => (record.type === 'prepared' ? [record] : []))
    .findLast(({ operationId }) => operationId === newest);
  if (atEnd === undefined || atEnd.events.every(({ id }) => there.has(id))) return;
  for await (const { id } of audit.read()) there.add(id);
  const lost = lostEvents(root.journal.records(), there);
  if (lost.length === 0) return;
  await audit.append(lost);
  // Without them its copy would look up to date.
  await rm(join(auditPath(root.path), 'audit.sqlite'), { force: true });
  log.warn(`the audit had lost ${lost.length} events; they are appended again from journal.jsonl`);
}

/** The events of committed operations that an audit does not have, marked as what they are. */
export function lostEvents(
  records: readonly JournalRecord[],
  there: ReadonlySet<string>,
): AuditEventInput[] {
  const committed = new Set(
    records.flatMap(({ type, operationId }) => (type === 'committed' ? [operationId] : [])),
  );
  return records.flatMap((record) => {
    if (record.type !== 'prepared' || !committed.has(record.operationId)) return [];
    return record.events
      .filter(({ id }) => !there.has(id))
      .map((event) => ({
        ...event,
        detail: { ...event.detail, restored_from: 'journal.jsonl', happened_at: record.time },
      }));
  });
}
