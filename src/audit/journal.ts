import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed, type RinglockError } from '../errors.ts';
import { isAbsent } from '../store/disk-error.ts';
import type { AuditEvent } from './event.ts';
import { chainStart, parseEvent } from './event-line.ts';

/** A place in a journal: right after one event. */
export interface Cursor {
  /** Number of the segment file. */
  readonly segment: number;
  /** Bytes of that segment that lie before. */
  readonly offset: number;
  /** Sequence number of the event before, 0 at the start. */
  readonly sequence: number;
  /** Hash of the event before. */
  readonly hash: string;
}

export interface JournalEntry {
  readonly event: AuditEvent;
  /** Right after this event. */
  readonly cursor: Cursor;
}

export const journalStart: Cursor = { segment: 1, offset: 0, sequence: 0, hash: chainStart };

/**
 * Reads a root's journal from a place on, checking the chain event by event. It only reads: also
 * while the reconciler appends, whose unfinished last line it leaves alone.
 *
 * @param directory `<root>/audit`; one that is not there has no events
 * @throws RinglockError `audit-journal-broken` naming file, byte and event
 */
export async function* readJournal(
  directory: string,
  from: Cursor = journalStart,
): AsyncGenerator<JournalEntry, void, void> {
  const segments = (await listSegments(directory)).filter((segment) => segment >= from.segment);
  let cursor = from;
  // The journal was cut off or begun anew since: going on from a later segment would skip events.
  if (from.sequence > 0 && segments[0] !== from.segment) {
    throw broken(directory, { ...cursor, offset: 0 }, 'ends too early');
  }
  for (const [index, segment] of segments.entries()) {
    const offset = segment === from.segment ? from.offset : 0;
    const bytes = await readFile(segmentPath(directory, segment));
    if (offset > bytes.length) {
      throw broken(directory, { ...cursor, segment, offset: bytes.length }, 'ends too early');
    }
    cursor = { ...cursor, segment, offset };
    const whole = bytes.lastIndexOf(lineFeed) + 1;
    if (whole < bytes.length && index < segments.length - 1) {
      throw broken(directory, { ...cursor, offset: whole }, 'is cut off');
    }
    for (const entry of readLines(directory, bytes.subarray(0, whole), cursor)) {
      cursor = entry.cursor;
      yield entry;
    }
  }
}

/** Numbers of the segments, in order. */
export async function listSegments(directory: string): Promise<number[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
  return names
    .flatMap((name) => /^journal-(\d{6,})\.jsonl$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

export function segmentPath(directory: string, segment: number): string {
  return join(directory, `journal-${String(segment).padStart(6, '0')}.jsonl`);
}

/** The place before a segment's first event, taken on trust: what comes before it is not read. */
export async function segmentStart(directory: string, segment: number): Promise<Cursor> {
  const bytes = await readFile(segmentPath(directory, segment));
  const end = bytes.indexOf(lineFeed);
  const first = end === -1 ? undefined : parseEvent(bytes.toString('utf8', 0, end));
  if (typeof first !== 'object') return { ...journalStart, segment };
  return { segment, offset: 0, sequence: first.sequence - 1, hash: first.previous };
}

const lineFeed = 0x0a;

function* readLines(directory: string, bytes: Buffer, from: Cursor): Generator<JournalEntry> {
  // Not lenient: a replaced byte must not read as the replacement character that stood there.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let cursor = from;
  while (cursor.offset < bytes.length) {
    const end = bytes.indexOf(lineFeed, cursor.offset);
    let line: string;
    try {
      line = decoder.decode(bytes.subarray(cursor.offset, end));
    } catch {
      throw broken(directory, cursor, 'is not UTF-8');
    }
    const event = parseEvent(line);
    if (typeof event === 'string') throw broken(directory, cursor, event);
    if (event.sequence !== cursor.sequence + 1 || event.previous !== cursor.hash) {
      throw broken(directory, cursor, `does not follow the event before it`, event);
    }
    cursor = {
      segment: cursor.segment,
      offset: end + 1,
      sequence: event.sequence,
      hash: event.hash,
    };
    yield { event, cursor };
  }
}

function broken(
  directory: string,
  { segment, offset, sequence }: Cursor,
  what: string,
  found?: AuditEvent,
): RinglockError {
  const name =
    found === undefined
      ? `event ${sequence + 1}`
      : `event ${found.sequence} (${found.id}), expected ${sequence + 1},`;
  return environmentFailed(
    'audit-journal-broken',
    `${segmentPath(directory, segment)} at byte ${offset}: ${name} ${what}`,
    {
      hint: 'Find out who or what changed it. ringlock reconcile --repair keeps the segments in damaged/ as evidence, and begins a new chain.',
      details: { segment, offset, sequence: sequence + 1 },
    },
  );
}
