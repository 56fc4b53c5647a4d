import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises';
import { environmentFailed } from '../errors.ts';
import { removeUnfinished, syncDirectory } from '../store/atomic-file.ts';
import { diskFailed } from '../store/disk-error.ts';
import type { FaultPoint } from '../store/fault-point.ts';
import type { AuditEvent, AuditEventInput } from './event.ts';
import { formatEvent } from './event-line.ts';
import {
  type Cursor,
  journalStart,
  listSegments,
  readJournal,
  segmentPath,
  segmentStart,
} from './journal.ts';

export interface AuditLogOptions {
  /** `<root>/audit`; made when missing. */
  readonly directory: string;
  /** A segment that has reached this size gets no further append (default 1 MiB). */
  readonly segmentBytes?: number;
  readonly now?: () => Date;
  /** Called at `audit:write`, `audit:written`, `audit:synced`, `audit:rotated`: for tests that kill there. */
  readonly fault?: FaultPoint;
}

/** A root's audit journal, owned by the one process that holds the root. */
export interface AuditLog {
  /**
   * Appends events, on disk (fdatasync) before it returns. An event whose id is already there is
   * skipped, so that recovery can repeat what it does not know the end of.
   *
   * @returns the events given, as they stand in the journal, in the order given
   * @throws RinglockError `audit-write-failed`, `invalid-audit-event`; nothing is appended then
   */
  append(events: readonly AuditEventInput[]): Promise<readonly AuditEvent[]>;
  /** Number of the last event; 0 when there is none. */
  readonly sequence: number;
  /** Reads and verifies the chain. @throws RinglockError `audit-journal-broken` */
  read(from?: Cursor): AsyncIterable<AuditEvent>;
  close(): Promise<void>;
}

/**
 * Opens the journal for appending: the chain of its last two segments is verified, and a last line
 * that a crash left unfinished (never acknowledged) is cut off.
 *
 * @throws RinglockError `audit-journal-broken` for anything else that is wrong, `disk-denied` and its like
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  try {
    return await openJournalWriter(options);
  } catch (error) {
    throw diskFailed(error, options.directory);
  }
}

async function openJournalWriter(options: AuditLogOptions): Promise<JournalWriter> {
  const { directory } = options;
  await mkdir(directory, { recursive: true });
  // Readable for other users whatever the umask.
  await chmod(directory, 0o755);
  await removeUnfinished(directory, ['outbox.json', 'audit.sqlite']);
  const recent: AuditEvent[] = [];
  let end = journalStart;
  for await (const { event, cursor } of readJournal(directory, await recentStart(directory))) {
    recent.push(event);
    end = cursor;
  }
  const latest = (await listSegments(directory)).at(-1);
  // A segment begun but not yet written to holds no event that would have moved the end into it.
  if (latest !== undefined && latest > end.segment) end = { ...end, segment: latest, offset: 0 };
  return new JournalWriter(options, await openSegment(directory, end), end, recent);
}

class JournalWriter implements AuditLog {
  private readonly directory: string;
  private readonly segmentBytes: number;
  private readonly now: () => Date;
  private readonly fault: FaultPoint;
  /** By id. */
  private readonly recent: Map<string, AuditEvent>;
  /** Time of the first of `recent`. */
  private oldest: string | undefined;
  /** Milliseconds since 1970. */
  private lastTime: number;
  /** A write did not end as it should: what lies behind `end` has to go. */
  private damaged = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    options: AuditLogOptions,
    private file: FileHandle,
    private end: Cursor,
    recent: readonly AuditEvent[],
  ) {
    this.directory = options.directory;
    this.segmentBytes = options.segmentBytes ?? 1024 * 1024;
    this.now = options.now ?? (() => new Date());
    this.fault = options.fault ?? (() => {});
    this.recent = new Map(recent.map((event) => [event.id, event]));
    this.oldest = recent[0]?.time;
    this.lastTime = Date.parse(recent.at(-1)?.time ?? '') || 0;
  }

  get sequence(): number {
    return this.end.sequence;
  }

  append(events: readonly AuditEventInput[]): Promise<readonly AuditEvent[]> {
    const result = this.queue.then(() => this.appendInTurn(events));
    this.queue = result.catch(() => {});
    return result;
  }

  async *read(from?: Cursor): AsyncIterable<AuditEvent> {
    for await (const { event } of readJournal(this.directory, from)) yield event;
  }

  async close(): Promise<void> {
    await this.queue;
    await this.file.close();
  }

  private async appendInTurn(inputs: readonly AuditEventInput[]): Promise<readonly AuditEvent[]> {
    const known = new Map<string, AuditEvent>();
    for (const { id } of inputs) {
      const event = await this.find(id);
      if (event !== undefined) known.set(id, event);
    }
    const time = new Date(Math.max(this.now().getTime(), this.lastTime)).toISOString();
    const added: AuditEvent[] = [];
    let lines = '';
    let { sequence, hash: previous } = this.end;
    for (const input of inputs) {
      if (known.has(input.id)) continue;
      sequence += 1;
      const { event, line } = formatEvent(input, { sequence, time, previous });
      previous = event.hash;
      lines += `${line}\n`;
      added.push(event);
      known.set(event.id, event);
    }
    if (added.length > 0) {
      await this.write(lines, sequence, previous);
      this.remember(added, time);
      await this.fault('audit:synced');
    }
    return inputs.flatMap(({ id }) => known.get(id) ?? []);
  }

  private async find(id: string): Promise<AuditEvent | undefined> {
    const found = this.recent.get(id);
    if (found !== undefined || this.oldest === undefined) return found;
    return uuidTime(id) < Date.parse(this.oldest) ? findOlder(this.directory, id) : undefined;
  }

  private remember(added: readonly AuditEvent[], time: string): void {
    this.lastTime = Date.parse(time);
    this.oldest ??= time;
    for (const event of added) this.recent.set(event.id, event);
  }

  private async write(lines: string, sequence: number, hash: string): Promise<void> {
    try {
      if (this.damaged) await this.takeBack();
      if (this.end.offset >= this.segmentBytes) await this.rotate();
      const { segment, offset } = this.end;
      const { size, nlink } = await this.file.stat();
      if (nlink === 0)
        throw new Error('it was deleted while it is open; start the reconciler again');
      if (size !== offset) {
        throw new Error(`it has ${size} bytes, expected ${offset}: another process writes to it`);
      }
      await this.fault('audit:write');
      this.damaged = true;
      await this.file.appendFile(lines, 'utf8');
      await this.fault('audit:written');
      await this.file.datasync();
      this.damaged = false;
      this.end = { segment, offset: offset + Buffer.byteLength(lines), sequence, hash };
    } catch (error) {
      // At once, so that the outbox does not send what is going to be appended anew.
      if (this.damaged) await this.takeBack().catch(() => {});
      throw writeFailed(segmentPath(this.directory, this.end.segment), error);
    }
  }

  private async takeBack(): Promise<void> {
    await this.file.truncate(this.end.offset);
    await this.file.datasync();
    this.damaged = false;
  }

  private async rotate(): Promise<void> {
    const next = { ...this.end, segment: this.end.segment + 1, offset: 0 };
    const opened = await openSegment(this.directory, next);
    await this.file.close();
    this.file = opened;
    this.end = next;
    await this.fault('audit:rotated');
  }
}

/** The place before the last segment but one: what recovery may repeat lies after it. */
export async function recentStart(directory: string): Promise<Cursor> {
  const segments = await listSegments(directory);
  const first = segments.at(-2);
  return first === undefined ? journalStart : segmentStart(directory, first);
}

/** Opens the segment that ends at `end`, cutting off what lies behind. */
async function openSegment(directory: string, end: Cursor): Promise<FileHandle> {
  const file = await open(segmentPath(directory, end.segment), 'a+', 0o644);
  try {
    await file.chmod(0o644);
    const { size } = await file.stat();
    if (size > end.offset) await file.truncate(end.offset);
    await file.datasync();
    await syncDirectory(directory);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Milliseconds since 1970 of a UUIDv7 (RFC 9562, section 5.7). */
export function uuidTime(id: string): number {
  return Number.parseInt(id.replace('-', '').slice(0, 12), 16);
}

/** Only for an id made before the recent events were appended, which no recovery after a crash has. */
async function findOlder(directory: string, id: string): Promise<AuditEvent | undefined> {
  for await (const { event } of readJournal(directory)) if (event.id === id) return event;
  return undefined;
}

function writeFailed(path: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return environmentFailed('audit-write-failed', `${path} cannot be written: ${reason}`, {
    hint: 'Nothing is deployed without its audit event. Free disk space or mend the volume, the next attempt goes on.',
    cause: error,
  });
}
