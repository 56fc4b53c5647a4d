import { inTransaction } from '../audit/database.ts';
import { refused } from '../errors.ts';
import { type FailedAt, migrationFailed } from './migration-failure.ts';
import { splitStatements } from './migration-statements.ts';
import type { DownStep, UpStep } from './schema-plan.ts';
import { isLockRow, resetConnection, type SchemaSession } from './schema-session.ts';

export interface SchemaStep {
  readonly alias: string;
  readonly name: string;
  readonly direction: 'up' | 'down';
  readonly version: string;
  readonly durationMs: number;
}

/**
 * Runs an up file. The row is written first and in the same transaction, so that it can neither be
 * missing nor come too early; without a transaction it says `running` meanwhile.
 *
 * @throws RinglockError `migration-failed`; the driver's error when the connection went away
 */
export async function applyMigration(
  session: SchemaSession,
  step: UpStep,
  operationId: string,
): Promise<SchemaStep> {
  const { alias, version, migration } = step;
  const run: Run = {
    at: { alias, version, name: migration.name, file: migration.up, statement: undefined },
    direction: 'up',
    note: () => insertRunning(session, step, operationId),
    finish: (fence, durationMs) =>
      countChanged(
        session,
        `update ${session.table} set state = 'applied', applied_at = now(), duration_ms = $4
         where module = $1 and name = $2 and state = 'running' and ${fence}`,
        [alias, migration.name, session.lock, durationMs],
      ),
    interrupted: ['running', 'interrupted'],
  };
  return runFile(session, run);
}

/**
 * Runs a down file and deletes the row, in one transaction.
 *
 * @throws as applyMigration()
 */
export async function revertMigration(
  session: SchemaSession,
  step: DownStep,
  operationId: string,
): Promise<SchemaStep> {
  const { alias, version, name, down } = step;
  const run: Run = {
    at: { alias, version, name, file: down, statement: undefined },
    direction: 'down',
    note: async () => {
      await session.client.query(
        `update ${session.table} set state = 'reverting', operation_id = $3
         where module = $1 and name = $2`,
        [alias, name, operationId],
      );
    },
    finish: (fence) =>
      countChanged(
        session,
        `delete from ${session.table}
         where module = $1 and name = $2 and state = 'reverting' and ${fence}`,
        [alias, name, session.lock],
      ),
    interrupted: ['reverting', 'revert-interrupted'],
  };
  return runFile(session, run);
}

interface Run {
  readonly at: FailedAt;
  readonly direction: 'up' | 'down';
  /** Writes that it is under way. */
  readonly note: () => Promise<void>;
  /** Writes the end, if `fence` (a condition with $3) holds; returns how many rows were changed. */
  readonly finish: (fence: Fence, durationMs: number) => Promise<number>;
  /** From the state under way to the one of what was left half done. */
  readonly interrupted: readonly [string, string];
}

async function runFile(session: SchemaSession, run: Run): Promise<SchemaStep> {
  const { alias, version, name, file } = run.at;
  const started = performance.now();
  const elapsed = () => Math.round(performance.now() - started);
  await resetConnection(session);
  await session.options.fault?.(`${run.direction}:before`);
  try {
    if (file.directives.has('no-transaction')) await runOutside(session, run, elapsed);
    else await runInside(session, run, elapsed);
  } catch (error) {
    await leaveNothingHalfSaid(session, run).catch(() => {});
    throw error;
  }
  await resetConnection(session);
  await session.options.fault?.(`${run.direction}:committed`);
  return { alias, name, direction: run.direction, version, durationMs: elapsed() };
}

async function runInside(session: SchemaSession, run: Run, elapsed: () => number): Promise<void> {
  const { client, options } = session;
  // Deferred constraints are checked by the commit: its refusal is the file's too.
  let isOfFile = false;
  try {
    await inTransaction(client, async () => {
      await run.note();
      const transaction = await currentTransaction(session);
      await setTimeouts(session, true);
      await options.fault?.(`${run.direction}:begun`);
      isOfFile = true;
      await client.query(run.at.file.sql);
      isOfFile = false;
      // `set role` is how a migration gives its tables an owner; the row is ours.
      await client.query('reset session authorization; reset role');
      await setTimeouts(session, true);
      await options.fault?.(`${run.direction}:ran`);
      const fence = `pg_current_xact_id()::text = '${transaction}' and ${lockFence}` as Fence;
      if ((await run.finish(fence, elapsed())) !== 1) throw lostTransaction(run.at);
      await options.fault?.(`${run.direction}:recorded`);
      isOfFile = true;
    });
  } catch (error) {
    throw (isOfFile ? migrationFailed(error, run.at) : undefined) ?? error;
  }
}

async function runOutside(session: SchemaSession, run: Run, elapsed: () => number): Promise<void> {
  const { client, options } = session;
  await run.note();
  await options.fault?.(`${run.direction}:begun`);
  await setTimeouts(session, false);
  // One by one: Postgres makes a transaction of statements that come together.
  for (const statement of splitStatements(run.at.file.sql)) {
    try {
      await client.query(statement.text);
    } catch (error) {
      throw migrationFailed(error, { ...run.at, statement }) ?? error;
    }
    await options.fault?.(`${run.direction}:ran`);
  }
  if (client.getTransactionStatus() !== 'I') throw lostTransaction(run.at);
  await resetConnection(session);
  if ((await run.finish(lockFence, elapsed())) !== 1) throw lostTransaction(run.at);
}

type Fence = string & { readonly __fence: unique symbol };

/** With $3, the lock's key: whoever lost the lock may not say that it is done. */
const lockFence = `exists (select from pg_locks l where ${isLockRow('$3')} and l.granted
  and l.pid = pg_backend_pid())` as Fence;

async function insertRunning(
  { client, table, options }: SchemaSession,
  { alias, version, migration }: UpStep,
  operationId: string,
): Promise<void> {
  await client.query(
    `insert into ${table} as known
       (module, name, checksum, version, rings, state, operation_id, joined)
     values ($1, $2, $3, $4, array[$5::text], 'running', $6::uuid,
             jsonb_build_object($5::text, $6::uuid))
     on conflict (module, name) do update set
       checksum = excluded.checksum, version = excluded.version, state = 'running',
       operation_id = excluded.operation_id, ahead_since = null, applied_at = now(),
       joined = known.joined || excluded.joined,
       rings = array(select distinct ring from unnest(known.rings || excluded.rings) ring order by 1)`,
    [alias, migration.name, migration.checksum, version, options.ring, operationId],
  );
}

async function countChanged(
  { client }: SchemaSession,
  sql: string,
  values: readonly (string | number)[],
): Promise<number> {
  return (await client.query(sql, [...values])).rowCount ?? 0;
}

async function currentTransaction({ client }: SchemaSession): Promise<string> {
  const { rows } = await client.query<{ id: string }>('select pg_current_xact_id()::text as id');
  return rows[0]?.id ?? '';
}

async function setTimeouts({ client, options }: SchemaSession, isLocal: boolean): Promise<void> {
  await client.query(
    `select set_config('statement_timeout', $1, $3), set_config('lock_timeout', $2, $3)`,
    [String(options.statementTimeoutMs), String(options.lockTimeoutMs), isLocal],
  );
}

/** Where the connection is gone, the next holder of the lock does it. */
async function leaveNothingHalfSaid(session: SchemaSession, run: Run): Promise<void> {
  const { client, table } = session;
  await client.query('rollback');
  await resetConnection(session);
  // No such row after a transaction, unless the SQL found a way to commit half of it.
  await client.query(
    `update ${table} set state = $4 where module = $1 and name = $2 and state = $3`,
    [run.at.alias, run.at.name, ...run.interrupted],
  );
}

function lostTransaction({ alias, version, name, file }: FailedAt): Error {
  return refused(
    'migration-failed',
    `${alias} ${version}: migration ${file.path.slice(file.path.lastIndexOf('/') + 1)} ended its transaction, left one open, or released the lock of the migrations`,
    {
      hint: 'Look at what it did: its row in module_migrations tells the state. Then mend the file.',
      details: { module: alias, version, name, file: file.path, line: null, sqlstate: null },
    },
  );
}
