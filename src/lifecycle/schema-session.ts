import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { FaultPoint } from '../store/fault-point.ts';
import { ensureMigrationTable } from './schema-table.ts';

export interface SchemaOptions {
  readonly databaseUrl: string;
  readonly ring: string;
  readonly replica: string;
  /** Milliseconds a statement of a migration may take; 0: no limit. */
  readonly statementTimeoutMs: number;
  /** Milliseconds a statement of a migration may wait for a lock; 0: no limit. */
  readonly lockTimeoutMs: number;
  /** Ends the waiting, and what runs, by ending the connection. */
  readonly signal?: AbortSignal;
  /** Told once for each other holder of the lock that is waited for. */
  readonly onWait?: (holder: string) => void;
  readonly fault?: FaultPoint;
}

/** A connection that holds the database's migration lock. */
export interface SchemaSession {
  readonly client: pg.Client;
  readonly options: SchemaOptions;
  /** module_migrations with its schema, quoted. */
  readonly table: string;
  /** The lock's key, a bigint. */
  readonly lock: string;
}

/** Takes the lock, and marks what a holder that died has left half done. */
export async function openSchemaSession(
  client: pg.Client,
  options: SchemaOptions,
): Promise<SchemaSession> {
  await setUpConnection(client, options);
  const lock = await takeLock(client, options);
  await options.fault?.('schema:locked');
  const table = await ensureMigrationTable(client);
  await options.fault?.('schema:ensured');
  // Only a holder of the lock runs migrations: what still says so has lost its holder.
  await client.query(
    `update ${table} set state = case state when 'running' then 'interrupted' else 'revert-interrupted' end
     where state in ('running', 'reverting')`,
  );
  return { client, options, table, lock };
}

/**
 * Takes back what a migration may have set for the session (a dump sets an empty search_path), but
 * for the lock: `discard all` would release it.
 */
export async function resetConnection({ client, options }: SchemaSession): Promise<void> {
  await client.query('reset session authorization; reset role; reset all; discard temp');
  await setUpConnection(client, options);
}

async function setUpConnection(client: pg.Client, options: SchemaOptions): Promise<void> {
  const settings = {
    application_name: `ringlock ${options.ring}/${options.replica}`.slice(0, 63),
    // The lock is held while nothing is asked.
    idle_session_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    // A holder whose machine vanished frees the lock in half a minute, not after two hours.
    tcp_keepalives_idle: '10',
    tcp_keepalives_interval: '5',
    tcp_keepalives_count: '4',
  };
  // Older servers lack some of them.
  await client.query(
    `select set_config(name, value, false) from unnest($1::text[], $2::text[]) as wanted (name, value)
     where exists (select from pg_settings known where known.name = wanted.name)`,
    [Object.keys(settings), Object.values(settings)],
  );
  // Ends a statement that nobody waits for any more; servers on some systems refuse it.
  await client.query(`set client_connection_check_interval = '2s'`).catch(() => {});
}

/** The lock is the database's, since rings may share one, and a session's: it dies with its holder. */
async function takeLock(client: pg.Client, options: SchemaOptions): Promise<string> {
  const { rows } = await client.query<{ key: string }>(
    `select hashtextextended('ringlock migrations of ' || current_database(), 0)::text as key`,
  );
  const key = rows[0]?.key ?? '';
  let told: string | undefined;
  for (let wait = 20; ; wait = Math.min(wait * 2, 500)) {
    options.signal?.throwIfAborted();
    const tried = await client.query<{ taken: boolean }>(
      'select pg_try_advisory_lock($1::bigint) as taken',
      [key],
    );
    if (tried.rows[0]?.taken === true) return key;
    const holder = await findHolder(client, key);
    if (holder !== undefined && holder !== told) options.onWait?.(holder);
    told = holder ?? told;
    await sleep(wait, undefined, options.signal && { signal: options.signal });
  }
}

async function findHolder(client: pg.Client, key: string): Promise<string | undefined> {
  const { rows } = await client.query<{ pid: number; name: string | null }>(
    `select l.pid, a.application_name as name
     from pg_locks l left join pg_stat_activity a on a.pid = l.pid
     where ${isLockRow('$1')} and l.granted`,
    [key],
  );
  const [row] = rows;
  return row && `${row.name || 'a connection without name'} (pid ${row.pid})`;
}

/** Whether the row `l` of pg_locks is the lock with that key. Source: PostgreSQL manual, pg_locks. */
export function isLockRow(key: string): string {
  return `l.locktype = 'advisory' and l.objsubid = 1
     and l.database = (select oid from pg_database where datname = current_database())
     and ((l.classid::bigint << 32) | l.objid::bigint) = ${key}::bigint`;
}
