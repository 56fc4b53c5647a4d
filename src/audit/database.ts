import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { badInput, environmentFailed, RinglockError } from '../errors.ts';
import { registerSecret } from '../redaction.ts';

export interface DatabaseOptions {
  /** Milliseconds to wait for a connection (default 5,000). */
  readonly connectTimeout?: number;
  /** Milliseconds one statement may take, waiting for locks included (default 15,000); 0: no limit. */
  readonly statementTimeout?: number;
  /** Ends the connection, also in the middle of a statement. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects to Postgres for as long as `use` runs.
 *
 * @throws RinglockError `invalid-database-url`, or a `database-…` code whose text has no password;
 *   what `use` throws that is not of the database stays itself
 */
export async function withDatabase<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
  options: DatabaseOptions = {},
): Promise<T> {
  const client = await createClient(url, options);
  const stop = () => void client.end().catch(() => {});
  options.signal?.addEventListener('abort', stop, { once: true });
  try {
    options.signal?.throwIfAborted();
    await client.connect();
    return await use(client);
  } catch (error) {
    throw databaseFailed(error, url);
  } finally {
    options.signal?.removeEventListener('abort', stop);
    await endClient(client);
  }
}

/**
 * A connection that its caller holds and ends, for what lives as long as the session does.
 *
 * @throws as withDatabase(); what its queries throw is for databaseFailed()
 */
export async function connectDatabase(
  url: string,
  options: DatabaseOptions = {},
): Promise<pg.Client> {
  const client = await createClient(url, options);
  try {
    options.signal?.throwIfAborted();
    await client.connect();
    return client;
  } catch (error) {
    await endClient(client);
    throw databaseFailed(error, url);
  }
}

/** Ends a connection; one whose server does not take the end is not waited for. */
export async function endClient(client: pg.Client): Promise<void> {
  const timeout = new AbortController();
  const late = delay(endWithinMs, 'late' as const, { signal: timeout.signal }).catch(() => {});
  const ended = await Promise.race([client.end().catch(() => {}), late]);
  timeout.abort();
  if (ended !== 'late') return;
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}

/** How long a server may take to end a connection, in ms. */
const endWithinMs = 2_000;

async function createClient(url: string, options: DatabaseOptions): Promise<pg.Client> {
  requireDatabaseUrl(url);
  // Loaded for the first connection: many a command and pod has no database.
  const { Client } = (await import('pg')).default;
  const client = new Client({
    connectionString: url,
    application_name: 'ringlock',
    connectionTimeoutMillis: options.connectTimeout ?? 5_000,
    // The client's own limit: poolers refuse the start-up parameter statement_timeout.
    query_timeout: options.statementTimeout ?? 15_000,
    // A server that vanished without a word must not be waited for without end.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  // Without a listener a server that goes away between two statements would end the process.
  client.on('error', () => {});
  return client;
}

/** Runs `use` in one transaction. */
export async function inTransaction<T>(client: pg.Client, use: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await use();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** Its password is hidden from here on. @throws `invalid-database-url` */
function requireDatabaseUrl(url: string): void {
  registerSecret(url);
  if (!URL.canParse(url) || !/^postgres(ql)?:\/\//.test(url)) {
    throw badInput(
      'invalid-database-url',
      'the database URL is not one, expected postgres://user:password@host:port/database',
      { hint: 'Characters such as @ / : # in the password are written as %40 %2F %3A %23.' },
    );
  }
}

/** What the driver threw, as an error that says what to do and has no password in it. */
export function databaseFailed(error: unknown, url: string): RinglockError {
  if (error instanceof RinglockError) return error;
  const { hostname, port, pathname } = new URL(url);
  const place = `${hostname}${port && `:${port}`}${pathname}`;
  const state = stateOf(error);
  const text = error instanceof Error ? error.message || error.name : String(error);
  const { code, hint } = explain(state, text);
  // No cause: the driver's errors may hold what was sent.
  return environmentFailed(code, `Postgres at ${place}: ${text || state}`, {
    ...(hint !== undefined && { hint }),
    details: { sqlstate: state ?? null },
  });
}

function stateOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return stateOf(error.errors[0]);
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** SQLSTATE classes: PostgreSQL manual, appendix A. */
function explain(state: string | undefined, text: string): { code: string; hint?: string } {
  if (state?.startsWith('28')) {
    return { code: 'database-login-failed', hint: 'Check user and password in DATABASE_URL.' };
  }
  if (state === '3D000') return { code: 'database-missing', hint: 'Create the database first.' };
  if (state === '3F000') {
    return { code: 'database-schema-missing', hint: 'Create the schema that search_path names.' };
  }
  if (state === '42501') {
    return {
      code: 'database-denied',
      hint: 'The user has to be allowed to create tables in its schema and to write to them.',
    };
  }
  if (state === '25006') {
    return { code: 'database-read-only', hint: 'Give the URL of the primary server.' };
  }
  if (state === undefined && !/timeout|terminated|closed|ended/i.test(text)) {
    return { code: 'database-failed' };
  }
  if (state === undefined || /^(E[A-Z_]+|08.*|57P.*|53.*)$/.test(state)) {
    return { code: 'database-unreachable' };
  }
  return { code: 'database-failed' };
}
