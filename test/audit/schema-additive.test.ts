import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { withDatabase } from '../../src/audit/database.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';

const before = readFileSync(join(import.meta.dirname, '../fixtures/schema-of-0.1.0.sql'), 'utf8');

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  /** Whether a row may be written without naming it. */
  readonly optional: boolean;
}

function columnsOf(url: string): Promise<Column[]> {
  return query<Column>(
    url,
    `select table_name as table, column_name as name, udt_name as type,
       is_nullable = 'NO' as required,
       is_nullable = 'YES' or column_default is not null or is_identity = 'YES' as optional
     from information_schema.columns where table_schema = 'public' order by 1, 2`,
  );
}

/** Whatever may refuse a row: keys, checks, unique indexes, triggers. */
async function rulesOf(url: string): Promise<{ table: string; rule: string }[]> {
  return query(
    url,
    `select relname as table, rule from pg_class join (
       select conrelid as oid, pg_get_constraintdef(pg_constraint.oid) as rule from pg_constraint
         where contype <> 'n'
       union all select indrelid, pg_get_indexdef(indexrelid) from pg_index where indisunique
       union all select tgrelid, pg_get_triggerdef(pg_trigger.oid) from pg_trigger
         where not tgisinternal
     ) as rules using (oid) join pg_namespace on relnamespace = pg_namespace.oid
     where nspname = 'public' order by 1, 2`,
  );
}

after(stopOwnPostgres);

describe('the tables of a database that an older version made', () => {
  it('are only added to, so that its replicas go on beside newer ones', async () => {
    const url = await createDatabase();
    await query(url, before);
    await query(
      url,
      'create table ringlock_migrations (name text primary key, applied_at timestamptz not null default now())',
    );
    await query(
      url,
      `insert into ringlock_migrations (name) values ('001-first-tables'), ('002-ring-tables')`,
    );
    const [oldColumns, oldRules] = [await columnsOf(url), await rulesOf(url)];
    await withDatabase(url, ensureSchema);
    const [columns, rules] = [await columnsOf(url), await rulesOf(url)];
    const oldTables = new Set(oldColumns.map(({ table }) => table));
    const isOfOld = ({ table }: { table: string }) => oldTables.has(table);
    const isKnown = ({ table, name }: Column) =>
      oldColumns.some((column) => column.table === table && column.name === name);
    assert.deepEqual(columns.filter(isKnown), oldColumns);
    const added = columns.filter((column) => isOfOld(column) && !isKnown(column));
    assert.deepEqual(
      added.filter(({ optional }) => !optional),
      [],
      'an older replica does not name these',
    );
    assert.deepEqual(rules.filter(isOfOld), oldRules, 'what an older replica writes is refused');
  });
});
