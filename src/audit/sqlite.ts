import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import initSqlJs, { type Database } from 'sql.js';
import { writeFileAtomically } from '../store/atomic-file.ts';
import type { AuditEvent } from './event.ts';
import { listSegments, readJournal, segmentStart } from './journal.ts';

/** The most events that the file holds, about 10 MB. */
export const sqliteLimit = 10_000;

/**
 * Writes `<root>/audit/audit.sqlite` from the journal: the latest events, as any SQLite tool reads
 * them, replaced atomically. sql.js holds the whole file in memory, so this runs in a process of its
 * own (`createSqliteMirror`).
 *
 * @param limit the most events it holds
 * @returns how many it holds
 */
export async function writeSqlite(directory: string, limit = sqliteLimit): Promise<number> {
  const events = await latestEvents(directory, limit);
  const database = await openSqlite();
  try {
    fill(database, events);
    await writeFileAtomically(join(directory, 'audit.sqlite'), database.export(), { mode: 0o644 });
  } finally {
    database.close();
  }
  return events.length;
}

/** A database in memory, of a file's bytes or empty; to be closed. */
export async function openSqlite(bytes?: Uint8Array): Promise<Database> {
  const { Database } = await initSqlJs({ wasmBinary: await readWasm() });
  return new Database(bytes);
}

async function latestEvents(directory: string, limit: number): Promise<AuditEvent[]> {
  let events: AuditEvent[] = [];
  // Whole segments from the last backwards, until there are enough.
  for (const segment of (await listSegments(directory)).reverse()) {
    const older: AuditEvent[] = [];
    for await (const { event, cursor } of readJournal(
      directory,
      await segmentStart(directory, segment),
    )) {
      if (cursor.segment !== segment) break;
      older.push(event);
    }
    events = [...older, ...events];
    if (events.length >= limit) break;
  }
  return events.slice(-limit);
}

function fill(database: Database, events: readonly AuditEvent[]): void {
  database.run(tables);
  database.run('begin');
  const insert = database.prepare(
    `insert into audit_events values (${Array(17).fill('?').join(', ')})`,
  );
  for (const event of events) {
    insert.run([
      ...[event.id, event.sequence, event.time, event.ring, event.replica],
      ...[event.actor.name, event.actor.commit, event.operationId, event.action, event.module],
      ...[event.from, event.to, event.digest, event.outcome, JSON.stringify(event.detail)],
      ...[event.previous, event.hash],
    ]);
  }
  insert.free();
  // In the file's header, where sqlite-mirror.ts finds it.
  database.run(`pragma user_version = ${events.at(-1)?.sequence ?? 0}`);
  database.run('commit');
}

/** The columns of Postgres' table, less what only a database of several roots needs. */
const tables = `
create table audit_events (
  id text primary key, sequence integer not null, occurred_at text not null, ring text not null,
  replica text not null, actor text not null, "commit" text, operation_id text not null,
  action text not null, module text, from_version text, to_version text, digest text,
  outcome text not null, detail text not null, previous text not null, hash text not null);
create index audit_events_module on audit_events (module, occurred_at);
create index audit_events_time on audit_events (occurred_at);`;

/** Beside the bundle (dist/assets), or the package's own when run from the sources. */
async function readWasm(): Promise<ArrayBuffer> {
  const besides = ['./assets/sql-wasm.wasm', '../assets/sql-wasm.wasm']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  const bytes = await readFile(
    besides ?? createRequire(import.meta.url).resolve('sql.js/dist/sql-wasm.wasm'),
  );
  return new Uint8Array(bytes).buffer;
}
