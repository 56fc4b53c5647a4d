import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type pg from 'pg';
import type { Schema, SchemaModule, SchemaOptions } from '../../src/lifecycle/schema.ts';
import { withSchema } from '../../src/lifecycle/schema.ts';
import { createDatabase } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const operation = () => randomUUID();

/** Writes a version's migrations; `{ '0001_a.up.sql': 'create …' }`. */
export function writeModule(
  directory: string,
  alias: string,
  version: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): SchemaModule {
  const migrations = join(directory, alias, version, 'migrations');
  mkdirSync(migrations, { recursive: true });
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(migrations, name), sql);
  return { alias, version, migrations };
}

export interface Platform {
  readonly url: string;
  readonly directory: string;
  module(
    alias: string,
    version: string,
    files: Readonly<Record<string, string | Uint8Array>>,
  ): SchemaModule;
  /** `use` under the lock, as a ring (default stable). */
  schema<T>(use: (schema: Schema) => Promise<T>, options?: Partial<SchemaOptions>): Promise<T>;
  up(
    target: readonly SchemaModule[],
    operationId?: string,
    options?: Partial<SchemaOptions>,
  ): Promise<string[]>;
  query<T extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<T[]>;
  tables(): Promise<string[]>;
  /** `alias/name state {rings}`, with `ahead` where it is. */
  rows(): Promise<string[]>;
}

/** A new database with a directory of versions. */
export async function makePlatform(t: TestContext, name = 'schema'): Promise<Platform> {
  const url = await createDatabase();
  const directory = temporaryDirectory(t, name);
  const schema: Platform['schema'] = (use, options = {}) =>
    withSchema(schemaOptions(url, options), use);
  const ask: Platform['query'] = (sql, values) => query(url, sql, values);
  return {
    url,
    directory,
    module: (alias, version, files) => writeModule(directory, alias, version, files),
    schema,
    up: async (target, operationId = operation(), options = {}) =>
      (await schema((s) => s.up(target, operationId), options)).map(
        (step) => `${step.alias}/${step.name}`,
      ),
    query: ask,
    tables: async () =>
      (
        await ask<{ name: string }>(
          `select tablename as name from pg_tables
           where schemaname = 'public' and tablename <> 'module_migrations' order by 1`,
        )
      ).map((row) => row.name),
    rows: async () =>
      (
        await ask<{ text: string }>(
          `select module || '/' || name || ' ' || state || ' ' || rings::text
             || case when ahead_since is null then '' else ' ahead' end as text
           from module_migrations order by module, name`,
        )
      ).map((row) => row.text),
  };
}

export function schemaOptions(url: string, options: Partial<SchemaOptions> = {}): SchemaOptions {
  return {
    databaseUrl: url,
    ring: 'stable',
    replica: 'pod-0',
    statementTimeoutMs: 30_000,
    lockTimeoutMs: 30_000,
    ...options,
  };
}
