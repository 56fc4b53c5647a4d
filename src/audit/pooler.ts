import type pg from 'pg';
import { environmentFailed, RinglockError } from '../errors.ts';
import { withDatabase } from './database.ts';

/**
 * Refuses a pooler that gives a connection's session to others between its transactions: advisory
 * locks, settings and LISTEN would be theirs. A pooler in session mode is fine.
 *
 * @param waitMs how long a pooler may take to give a second session
 * @throws RinglockError `database-transaction-pooler`, `database-pooler-full`
 */
export async function refuseTransactionPooler(
  client: pg.Client,
  url: string,
  waitMs = 5_000,
): Promise<void> {
  const own = await backendPid(client);
  // A server tells a client its process id at start; a pooler tells one of its own invention.
  if ((client as pg.Client & { readonly processID?: number | null }).processID === own) return;
  // A pooler may hand out another free session first: three looks make a miss unlikely.
  for (let look = 0; look < 3; look++) {
    const other = await secondPid(url, waitMs);
    if (other === own || (await backendPid(client)) !== own) throw sharedSession('transaction');
  }
}

async function backendPid(client: pg.Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid;
}

async function secondPid(url: string, waitMs: number): Promise<number | undefined> {
  try {
    return await withDatabase(url, pidInTransaction, { statementTimeout: waitMs });
  } catch (error) {
    if (!(error instanceof RinglockError) || error.code !== 'database-unreachable') throw error;
    throw environmentFailed(
      'database-pooler-full',
      `the database URL leads through a pooler that gave no second session in ${waitMs} ms, so that it cannot be told whether it shares them: ${error.message}`,
      { hint: 'Let the pool have a session more, or give the URL of the server itself.' },
    );
  }
}

/** In a transaction a pooler must give a session to this connection alone. */
async function pidInTransaction(client: pg.Client): Promise<number | undefined> {
  try {
    await client.query('begin');
  } catch (error) {
    // PgBouncer's words where pool_mode is statement.
    if (error instanceof Error && /statement pooling/i.test(error.message)) {
      throw sharedSession('statement');
    }
    throw error;
  }
  return backendPid(client);
}

function sharedSession(mode: string): RinglockError {
  return environmentFailed(
    'database-transaction-pooler',
    `the database URL leads through a pooler in ${mode} mode, expected one session for each connection: migrations and turns are kept by session locks`,
    {
      hint: "Give the URL of the server itself, or of the pooler's session port (PgBouncer: pool_mode=session).",
    },
  );
}
