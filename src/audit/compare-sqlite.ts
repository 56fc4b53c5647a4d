import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent } from '../store/disk-error.ts';
import { type ChainBreak, eventName } from './chain-break.ts';
import type { AuditEvent } from './event.ts';
import { hashOfContent } from './event-line.ts';
import { type EventRow, eventOfRow } from './event-row.ts';
import { openSqlite, sqliteLimit } from './sqlite.ts';

/** What `audit.sqlite` has of a root's chain. */
export interface SqliteComparison {
  /** Events that are there as they are in the journal. */
  readonly same: number;
  readonly broken: ChainBreak | null;
}

/** Compares a root's chain with its SQLite file, which is read first: the journal is never behind it. */
export class SqliteComparer {
  private same = 0;
  private broken: ChainBreak | null;
  /** By number; what was compared is taken out. */
  private readonly left: Map<number, AuditEvent>;
  private readonly from: number;
  private readonly isFull: boolean;
  private readonly to: number;

  private constructor(
    private readonly path: string,
    rows: readonly AuditEvent[],
    /** Number of the last event it was written with, by its header. */
    last: number,
    broken: ChainBreak | null,
  ) {
    this.left = new Map(rows.map((event) => [event.sequence, event]));
    this.from = rows[0]?.sequence ?? 0;
    this.to = Math.max(last, rows.at(-1)?.sequence ?? 0);
    this.isFull = rows.length >= sqliteLimit;
    this.broken = broken;
  }

  /** @returns undefined when the directory has no SQLite file */
  static async open(directory: string): Promise<SqliteComparer | undefined> {
    const path = join(directory, 'audit.sqlite');
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      return new SqliteComparer(path, [], 0, unreadable(path, error));
    }
    try {
      const { rows, last } = await readRows(bytes);
      return new SqliteComparer(path, rows, last, checkRows(path, rows));
    } catch (error) {
      return new SqliteComparer(path, [], 0, unreadable(path, error));
    }
  }

  see(event: AuditEvent): void {
    const { sequence } = event;
    if (this.broken !== null || sequence > this.to) return;
    // Only a file that is full leaves the oldest out.
    if (sequence < this.from && this.isFull) return;
    const row = this.left.get(sequence);
    this.left.delete(sequence);
    if (row?.hash === event.hash) {
      this.same += 1;
      return;
    }
    const kind = row === undefined ? 'missing' : row.id === event.id ? 'changed' : 'inserted';
    const difference = {
      missing: 'is missing',
      changed: 'has another content than in the journal',
      inserted: 'is not in the journal, which has another of that number',
    }[kind];
    this.broken = {
      ...place(this.path, row ?? event, kind),
      expected: event.hash,
      found: row?.hash ?? null,
      message: `${eventName(sequence, (row ?? event).id)} ${difference}`,
    };
  }

  /** @param isWhole whether the root's chain was followed to its end */
  end(last: AuditEvent | undefined, isWhole: boolean): SqliteComparison {
    const behind = [...this.left.values()].find(({ sequence }) => sequence > (last?.sequence ?? 0));
    if (behind !== undefined && isWhole) {
      this.broken ??= {
        ...place(this.path, behind, 'truncated'),
        where: 'root',
        expected: behind.hash,
        message: `${eventName(behind.sequence, behind.id)} is in audit.sqlite, and the journal ends with event ${last?.sequence ?? 0}`,
      };
    }
    return { same: this.same, broken: this.broken };
  }
}

async function readRows(bytes: Buffer): Promise<{ rows: AuditEvent[]; last: number }> {
  const database = await openSqlite(bytes);
  try {
    const statement = database.prepare('select * from audit_events order by sequence, id');
    const rows: AuditEvent[] = [];
    while (statement.step()) {
      const row = statement.getAsObject() as unknown as EventRow & { detail: string };
      rows.push(eventOfRow({ ...row, detail: JSON.parse(row.detail) }));
    }
    statement.free();
    const [version] = database.exec('pragma user_version');
    return { rows, last: Number(version?.values[0]?.[0]) };
  } finally {
    database.close();
  }
}

function checkRows(path: string, rows: readonly AuditEvent[]): ChainBreak | null {
  for (const [index, event] of rows.entries()) {
    const name = eventName(event.sequence, event.id);
    const computed = hashOfContent(event) ?? null;
    if (computed !== event.hash) {
      const message = `${name} differs from its hash`;
      const found = { expected: event.hash, found: computed };
      return { ...place(path, event, 'changed'), ...found, message };
    }
    if (rows[index - 1]?.sequence === event.sequence) {
      const message = `${name} is a second event of that number`;
      return { ...place(path, event, 'inserted'), found: computed, message };
    }
  }
  return null;
}

function place(path: string, { sequence, id }: AuditEvent, kind: ChainBreak['kind']) {
  return {
    ...{ where: 'sqlite' as const, kind, file: path, line: null, sequence, id },
    ...{ expected: null, found: null },
  };
}

function unreadable(path: string, error: unknown): ChainBreak {
  const reason = error instanceof Error ? error.message : String(error);
  return {
    ...{ where: 'sqlite', kind: 'changed', file: path, line: null, sequence: null, id: null },
    ...{ expected: null, found: null },
    message: `the file cannot be read: ${reason}`,
  };
}
