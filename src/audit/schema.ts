import type pg from 'pg';
import { environmentFailed } from '../errors.ts';
import { inTransaction } from './database.ts';
import { firstTables } from './schema-001.ts';
import { ringTables } from './schema-002.ts';
import { outwardTables } from './schema-003.ts';
import { rechainedTables } from './schema-004.ts';
import { overtakenColumns } from './schema-005.ts';

/** Only ever appended to, and only by additions: replicas of an older version go on writing. */
const migrations: readonly { readonly name: string; readonly sql: string }[] = [
  { name: '001-first-tables', sql: firstTables },
  { name: '002-ring-tables', sql: ringTables },
  { name: '003-outward-tables', sql: outwardTables },
  { name: '004-rechained-events', sql: rechainedTables },
  { name: '005-overtaken-operations', sql: overtakenColumns },
];

/**
 * Makes or updates ringlock's tables in the connection's search_path. Replicas that start at once
 * take turns by an advisory lock; statements and bookkeeping are one transaction.
 *
 * @throws RinglockError `database-tables-taken` when tables of these names belong to something else,
 *   `database-encoding`
 */
export async function ensureSchema(client: pg.Client): Promise<void> {
  if (await isCurrent(client)) return;
  await inTransaction(client, async () => {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('ringlock schema', 0))`);
    await refuseOtherEncoding(client);
    await client.query(
      `create table if not exists ringlock_migrations (
         name text primary key, applied_at timestamptz not null default now())`,
    );
    await refuseForeignTables(client);
    await (await migrator(client)).up();
  });
}

async function isCurrent(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(`select to_regclass('ringlock_migrations') as found`);
  if (rows[0]?.found === null) return false;
  const applied = new Set(await appliedNames(client));
  return migrations.every(({ name }) => applied.has(name));
}

async function appliedNames(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    'select name from ringlock_migrations order by name',
  );
  return rows.map(({ name }) => name);
}

async function migrator(client: pg.Client): Promise<{ up(): Promise<unknown> }> {
  const { Umzug } = (await import('umzug')).default;
  return new Umzug<pg.Client>({
    migrations: migrations.map(({ name, sql }) => ({ name, up: () => client.query(sql) })),
    context: client,
    storage: {
      executed: () => appliedNames(client),
      logMigration: async ({ name }) => {
        await client.query('insert into ringlock_migrations (name) values ($1)', [name]);
      },
      unlogMigration: async () => {},
    },
    logger: undefined,
  });
}

async function refuseOtherEncoding(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('show server_encoding');
  const encoding = rows[0]?.server_encoding;
  if (encoding === 'UTF8') return;
  throw environmentFailed(
    'database-encoding',
    `the database has the encoding ${encoding}, expected UTF8`,
    { hint: 'Create a database with ENCODING UTF8 for ringlock.' },
  );
}

/** An application's own `modules` or `tenants` must not be mistaken for ours. */
async function refuseForeignTables(client: pg.Client): Promise<void> {
  const applied = new Set(await appliedNames(client));
  const names = migrations
    .filter(({ name }) => !applied.has(name))
    .flatMap(({ sql }) => [...sql.matchAll(/^create table (\w+)/gm)].map(([, name]) => name));
  const { rows } = await client.query<{ name: string }>(
    `select name from unnest($1::text[]) as name
     where to_regclass(quote_ident(current_schema()) || '.' || name) is not null`,
    [names],
  );
  if (rows.length === 0) return;
  throw environmentFailed(
    'database-tables-taken',
    `the database already has tables of another program: ${rows.map(({ name }) => name).join(', ')}`,
    {
      hint: 'Give ringlock a database of its own, or a schema: create schema ringlock, and append ?options=-csearch_path%3Dringlock to DATABASE_URL.',
    },
  );
}
