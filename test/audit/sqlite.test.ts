import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import initSqlJs from 'sql.js';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { writeSqlite } from '../../src/audit/sqlite.ts';
import { createSqliteMirror } from '../../src/audit/sqlite-mirror.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { runCli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function idsIn(directory: string): Promise<unknown[]> {
  const { Database } = await initSqlJs();
  const database = new Database(readFileSync(join(directory, 'audit.sqlite')));
  const [result] = database.exec('select id from audit_events order by sequence');
  database.close();
  return result?.values.map(([id]) => id) ?? [];
}

it('writes the journal as a SQLite file, by a child process and by the built program', async (t) => {
  const root = temporaryDirectory(t, 'root');
  const directory = join(root, 'audit');
  const log = await openAuditLog({ directory, segmentBytes: 2000 });
  const events = Array.from({ length: 12 }, () => sampleEvent());
  for (const event of events) await log.append([event]);
  await log.close();
  const ids = events.map(({ id }) => id);

  const failures: string[] = [];
  const mirror = createSqliteMirror(directory, (message) => failures.push(message));
  mirror.refresh();
  mirror.refresh();
  await mirror.idle();
  assert.deepEqual(failures, []);
  assert.deepEqual(await idsIn(directory), ids);

  const { code, stderr } = await runCli(root, ['audit', 'write-sqlite', '--root', root]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(await idsIn(directory), ids);

  assert.equal(await writeSqlite(directory, 5), 5);
  assert.deepEqual(await idsIn(directory), ids.slice(-5));
});

it('catches up with a journal that a killed process had written to, and only then', async (t) => {
  const directory = join(temporaryDirectory(t, 'root'), 'audit');
  const log = await openAuditLog({ directory });
  await log.append([sampleEvent()]);
  await writeSqlite(directory);
  const mirror = createSqliteMirror(directory);
  const writtenAt = () => statSync(join(directory, 'audit.sqlite')).ino;
  const before = writtenAt();
  mirror.catchUp();
  await mirror.idle();
  assert.equal(writtenAt(), before);
  await log.append([sampleEvent()]);
  mirror.catchUp();
  await mirror.idle();
  assert.equal((await idsIn(directory)).length, 2);
  rmSync(join(directory, 'audit.sqlite'));
  mirror.catchUp();
  await mirror.idle();
  assert.equal((await idsIn(directory)).length, 2);
  await log.close();
});
