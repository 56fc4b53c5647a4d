import type { TestContext } from 'node:test';
import pg from 'pg';
import { onEnd } from './cleanup.ts';

/** The rows of one statement, over a connection of its own; without a URL, where the environment says. */
export async function query<T extends pg.QueryResultRow>(
  url: string | undefined,
  sql: string,
  values: readonly unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** Keeps a table from being written until the returned function is called, or the test ends. */
export async function holdTable(
  t: TestContext,
  url: string,
  table: string,
): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  await client.query('begin');
  await client.query(`lock table ${table} in exclusive mode`);
  onEnd(t, () => client.end());
  return () => client.end();
}
