/**
 * A process that migrates: `schema-process URL DIRECTORY RING KILL_AT OPERATION up|down|undo`.
 * Bundled by the tests, since tsx takes half a second for each of many starts. Prints how many fault
 * points it has passed.
 */
import { join } from 'node:path';
import { type SchemaModule, withSchema } from '../../src/lifecycle/schema.ts';

const outside = '-- ringlock: no-transaction, idempotent\n';
const count = (what: string) => `insert into runs (what) values ('${what}');\n`;

/** Each migration counts its runs; the idempotent one only what it finds not done. */
export const crashFiles: Readonly<Record<string, string>> = {
  '0001_a.up.sql': `create table a (n int);\n${count('1 up')}`,
  '0001_a.down.sql': `${count('1 down')}drop table a;\n`,
  '0002_b.up.sql': `${outside}create index concurrently if not exists i on a (n);
insert into runs (what) select '2 up' where not exists (select from runs where what = '2 up');\n`,
  '0002_b.down.sql': `${outside}drop index concurrently if exists i;
insert into runs (what) select '2 down' where not exists (select from runs where what = '2 down');\n`,
  '0003_c.up.sql': `${count('3 up')}alter table a add m int;\n`,
  '0003_c.down.sql': `${count('3 down')}alter table a drop m;\n`,
};

export function crashModules(directory: string): {
  readonly older: SchemaModule;
  readonly newer: SchemaModule;
} {
  const at = (version: string) => join(directory, 'orders', version, 'migrations');
  return {
    older: { alias: 'orders', version: '1.0.0', migrations: at('1.0.0') },
    newer: { alias: 'orders', version: '1.1.0', migrations: at('1.1.0') },
  };
}

const [databaseUrl, directory = '', ring = '', killAt = '', operation = '', mode] =
  process.argv.slice(2);
if (databaseUrl !== undefined) await run(databaseUrl);

async function run(url: string): Promise<void> {
  let calls = 0;
  const options = {
    databaseUrl: url,
    ring,
    replica: `pod-${process.pid}`,
    statementTimeoutMs: 60_000,
    lockTimeoutMs: 60_000,
    fault: () => {
      calls++;
      if (calls === Number(killAt)) process.kill(process.pid, 'SIGKILL');
    },
  };
  const { older, newer } = crashModules(directory);
  await withSchema(options, async (schema) => {
    if (mode === 'down') await schema.down([older], [newer], 'all', operation);
    else if (mode === 'undo') await schema.undo(operation, [newer]);
    else await schema.up([newer], operation);
  });
  process.stdout.write(`${calls}\n`);
}
