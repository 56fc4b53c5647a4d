import type pg from 'pg';
import { environmentFailed } from '../errors.ts';
import type { MigrationRow } from './schema-plan.ts';

/** Only ever added to, by columns that have a default: an older ringlock goes on writing. */
const columns = {
  module: 'text not null',
  name: 'text not null',
  checksum: 'text not null',
  version: 'text not null',
  rings: `text[] not null default '{}'`,
  state: 'text not null',
  operation_id: 'uuid not null',
  applied_at: 'timestamptz not null default now()',
  ahead_since: 'timestamptz',
  duration_ms: 'integer',
} as const;

/** Came with the first ones, but are not what makes the table ours. */
const additions = {
  ahead_reason: 'text',
  joined: `jsonb not null default '{}'`,
} as const;

/**
 * Makes the table in the connection's search_path; whoever calls holds the migration lock.
 *
 * @returns its name with the schema, quoted, since a migration may move the search_path
 * @throws RinglockError `database-tables-taken`
 */
export async function ensureMigrationTable(client: pg.Client): Promise<string> {
  const found = await findMigrationTable(client);
  if (found === undefined) {
    const lines = Object.entries({ ...columns, ...additions }).map(
      ([name, type]) => `${name} ${type}`,
    );
    await client.query(
      `create table module_migrations (${lines.join(', ')}, primary key (module, name))`,
    );
    return ensureMigrationTable(client);
  }
  for (const [name, type] of Object.entries(additions)) {
    if (found.columns.includes(name)) continue;
    await client.query(`alter table ${found.table} add column if not exists ${name} ${type}`);
  }
  return found.table;
}

/** @throws RinglockError `database-tables-taken` when the table of that name is another program's */
export async function findMigrationTable(
  client: pg.Client,
): Promise<{ readonly table: string; readonly columns: readonly string[] } | undefined> {
  const { rows } = await client.query<{ found: string; columns: string[] }>(
    `select format('%I.%I', n.nspname, c.relname) as found,
            array(select a.attname::text from pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = to_regclass('module_migrations')`,
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const missing = Object.keys(columns).filter((name) => !row.columns.includes(name));
  if (missing.length === 0) return { table: row.found, columns: row.columns };
  throw environmentFailed(
    'database-tables-taken',
    `the database has a table ${row.found} of another program: it lacks ${missing.join(', ')}`,
    {
      hint: 'Rename it, or give ringlock a schema before it in the search_path: append ?options=-csearch_path%3Dringlock,public to the URL.',
    },
  );
}

/** As ISO 8601. */
export const aheadSince = `to_char(ahead_since at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

export async function readMigrationRows(client: pg.Client, table: string): Promise<MigrationRow[]> {
  const { rows } = await client.query<Omit<MigrationRow, 'joined'> & { joined: unknown }>(
    `select module as alias, name, checksum, version, rings, state, operation_id as "operationId",
            coalesce(to_jsonb(m) -> 'joined', '{}') as joined,
            ${aheadSince} as "aheadSince",
            to_jsonb(m) ->> 'ahead_reason' as "aheadReason"
     from ${table} m order by module collate "C", name collate "C"`,
  );
  return rows as MigrationRow[];
}
