import { createHash } from 'node:crypto';
import { copyFile, lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RinglockError } from '../errors.ts';
import { syncDirectory } from '../store/atomic-file.ts';
import { diskFailed } from '../store/disk-error.ts';
import { auditPath } from '../store/layout.ts';
import { makeAsideDirectory } from '../store/set-aside.ts';
import { openAuditLog } from './audit-log.ts';
import type { AuditEvent, AuditEventInput } from './event.ts';
import { parseEvent } from './event-line.ts';
import { listSegments, readJournal, segmentPath } from './journal.ts';

/** What became of an audit whose chain was broken. */
export interface AuditRepair {
  /** What is wrong, with file, byte and event. */
  readonly broken: string;
  /** Where the segments are kept, relative to the root. */
  readonly movedTo: string;
  /** File name → `sha256:<hex>` of each segment as it was found. */
  readonly segments: Readonly<Record<string, string>>;
  /** Events before the break, which the chain vouched for. */
  readonly verified: number;
  /** Events that the new chain begins with. */
  readonly takenOver: number;
}

/**
 * Reads the whole chain; when it is broken, keeps its segments aside and begins a new one with every
 * event that can be read, with its own id and time: what Postgres has already is not recorded twice,
 * and what it does not have yet still gets there. Events behind the break, or found elsewhere, are
 * marked with `restored_from`. A chain that is whole is not touched.
 *
 * @param lostEvents events that are known from elsewhere, of those whose ids are not given
 */
export async function repairAudit(
  root: string,
  now: Date,
  lostEvents: (there: ReadonlySet<string>) => readonly AuditEventInput[],
): Promise<AuditRepair | undefined> {
  const directory = auditPath(root);
  const verified: AuditEvent[] = [];
  try {
    for await (const { event } of readJournal(directory)) verified.push(event);
    return undefined;
  } catch (error) {
    const broken = diskFailed(error, directory);
    if (!(broken instanceof RinglockError)) throw error;
    const { to: movedTo, segments } = await keepSegments(root, now);
    const events = await salvage(join(root, movedTo), verified, lostEvents);
    await replaceSegments(directory, join(root, movedTo), events);
    const counts = { verified: verified.length, takenOver: events.length };
    return { broken: broken.message, movedTo, segments, ...counts };
  }
}

/** Copies: a repair that is cut off finds the chain broken again, and every event still there. */
async function keepSegments(
  root: string,
  now: Date,
): Promise<{ to: string; segments: Record<string, string> }> {
  const directory = auditPath(root);
  const to = await makeAsideDirectory(root, 'audit', now);
  const segments: Record<string, string> = {};
  for (const segment of await listSegments(directory)) {
    const path = segmentPath(directory, segment);
    const copy = join(root, to, basename(path));
    if ((await lstat(path)).isDirectory()) {
      await rename(path, copy);
      continue;
    }
    await copyFile(path, copy);
    await sync(copy);
    segments[basename(path)] = sha256(await readFile(copy));
  }
  await syncDirectory(join(root, to));
  return { to, segments };
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

interface DatedEvent {
  readonly event: AuditEventInput;
  /** RFC 3339; empty where only the id tells. */
  readonly time: string;
}

/** Every event once, in the order of their UUIDv7 ids, which is that in which they came to be. */
async function salvage(
  aside: string,
  verified: readonly AuditEvent[],
  lostEvents: (there: ReadonlySet<string>) => readonly AuditEventInput[],
): Promise<DatedEvent[]> {
  const found = new Map<string, DatedEvent>();
  for (const event of verified) found.set(event.id, { event: inputOf(event), time: event.time });
  for (const segment of await listSegments(aside)) {
    const text = await readFile(segmentPath(aside, segment), 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const event = parseEvent(line);
      if (typeof event === 'string' || found.has(event.id)) continue;
      const detail = { ...event.detail, restored_from: basename(segmentPath(aside, segment)) };
      found.set(event.id, { event: { ...inputOf(event), detail }, time: event.time });
    }
  }
  for (const event of lostEvents(new Set(found.keys()))) {
    const time = String(event.detail['happened_at'] ?? '');
    found.set(event.id, { event, time });
  }
  return [...found.values()].sort((a, b) => (a.event.id < b.event.id ? -1 : 1));
}

function inputOf(event: AuditEvent): AuditEventInput {
  const { sequence: _sequence, time: _time, previous: _previous, hash: _hash, ...input } = event;
  return input;
}

/** The new chain is complete before the first segment of the old one gives way. */
async function replaceSegments(
  directory: string,
  aside: string,
  events: readonly DatedEvent[],
): Promise<void> {
  const building = join(aside, 'new-chain');
  await mkdir(building);
  await writeChain(building, events);
  const surplus = new Set(await listSegments(directory));
  for (const segment of await listSegments(building)) {
    await rename(segmentPath(building, segment), segmentPath(directory, segment));
    surplus.delete(segment);
  }
  for (const segment of surplus) await rm(segmentPath(directory, segment));
  await syncDirectory(directory);
  await rm(building, { recursive: true });
}

async function writeChain(directory: string, events: readonly DatedEvent[]): Promise<void> {
  let time = new Date(0);
  const log = await openAuditLog({ directory, now: () => time });
  try {
    for (const dated of events) {
      const at = new Date(dated.time);
      if (!Number.isNaN(at.getTime())) time = at;
      await log.append([dated.event]);
    }
  } finally {
    await log.close();
  }
}
