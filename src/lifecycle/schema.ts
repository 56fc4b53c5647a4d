import { databaseFailed, withDatabase } from '../audit/database.ts';
import { refuseTransactionPooler } from '../audit/pooler.ts';
import { type ModuleMigrations, readMigrations, type SchemaModule } from './migration-files.ts';
import type { SchemaStep } from './migration-run.ts';
import { type NeededElsewhere, runDown, type SchemaAhead, type SchemaDown } from './schema-down.ts';
import { type DownPlan, planDown, planUndo, planUp } from './schema-plan.ts';
import { resolveInterrupted } from './schema-resolve.ts';
import { openSchemaSession, type SchemaOptions, type SchemaSession } from './schema-session.ts';
import { findMigrationTable, readMigrationRows } from './schema-table.ts';
import { listPending, type PendingMigration, runUp } from './schema-up.ts';

export { hasMigrations, type SchemaModule } from './migration-files.ts';
export type { SchemaStep } from './migration-run.ts';
export type { NeededElsewhere, SchemaAhead, SchemaDown } from './schema-down.ts';
export type { SchemaOptions } from './schema-session.ts';
export type { PendingMigration } from './schema-up.ts';

/** What leaving a version would do. */
export interface SchemaDownPlan {
  readonly run: readonly {
    readonly alias: string;
    readonly name: string;
    readonly version: string;
  }[];
  readonly ahead: readonly Omit<SchemaAhead, 'since'>[];
  readonly neededElsewhere: readonly NeededElsewhere[];
}

export interface Schema {
  /** What `up` would do. */
  pendingUp(target: readonly SchemaModule[]): Promise<readonly PendingMigration[]>;
  /**
   * Applies what the target lacks and notes that this ring needs all of it. Modules are given
   * dependencies first.
   *
   * @param operationId a UUID
   * @throws RinglockError `migration-failed`, `migration-edited`, `migration-interrupted`,
   *   `invalid-migration`; edited, interrupted and invalid ones are found before anything is run
   */
  up(target: readonly SchemaModule[], operationId: string): Promise<readonly SchemaStep[]>;
  /**
   * Takes `up` of an operation back; `target` as `up` got it.
   *
   * @param mode `all` (the default) where nothing was used yet, else `safe`
   */
  undo(
    operationId: string,
    target: readonly SchemaModule[],
    mode?: 'safe' | 'all',
  ): Promise<SchemaDown>;
  /**
   * What leaving `previous` for `target` takes.
   *
   * @param target at least the versions that follow those of `previous`
   * @param previous the modules that are rolled back or removed, dependents first, with the
   *   directories of the versions that are left; one whose version rises is passed over
   * @param mode `safe`: only steps marked safe-down; `all`: a person asked for every one
   */
  planDown(
    target: readonly SchemaModule[],
    previous: readonly SchemaModule[],
    mode: 'safe' | 'all',
  ): Promise<SchemaDownPlan>;
  /** Does what `planDown` says. A step that fails is reported, not thrown. */
  down(
    target: readonly SchemaModule[],
    previous: readonly SchemaModule[],
    mode: 'safe' | 'all',
    operationId: string,
  ): Promise<SchemaDown>;
  /** All that is ahead in this database, whichever ring has left it. */
  ahead(): Promise<readonly SchemaAhead[]>;
  /**
   * Says what a person found out about an interrupted migration.
   *
   * @throws RinglockError `migration-not-interrupted`
   */
  resolveMigration(alias: string, name: string, is: 'applied' | 'not-applied'): Promise<void>;
}

/**
 * Runs `use` while holding the database's migration lock on one connection. What `use` throws stays
 * itself.
 *
 * @throws RinglockError `database-…`, `database-transaction-pooler`, `database-tables-taken`;
 *   the signal's reason when it was aborted
 */
export async function withSchema<T>(
  options: SchemaOptions,
  use: (schema: Schema) => Promise<T>,
): Promise<T> {
  const { databaseUrl, signal } = options;
  let end: { readonly value: T } | { readonly error: unknown } | undefined;
  await explained(options, () =>
    withDatabase(
      databaseUrl,
      async (client) => {
        await refuseTransactionPooler(client, databaseUrl);
        const session = await openSchemaSession(client, options);
        end = await use(createSchema(session)).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
      },
      { statementTimeout: 0, signal },
    ),
  );
  if (end !== undefined && 'value' in end) return end.value;
  throw end?.error;
}

/**
 * What `up` would do, without the lock: a look that changes nothing. No connection is made when
 * there are no migrations.
 *
 * @throws RinglockError `database-…`, `invalid-migration`
 */
export async function readPending(
  options: Pick<SchemaOptions, 'databaseUrl' | 'ring' | 'signal'>,
  target: readonly SchemaModule[],
): Promise<readonly PendingMigration[]> {
  const modules = await readModules(target);
  if (modules.every(({ migrations }) => migrations.length === 0)) return [];
  return explained(options, () =>
    withDatabase(
      options.databaseUrl,
      async (client) => {
        const found = await findMigrationTable(client);
        const rows = found === undefined ? [] : await readMigrationRows(client, found.table);
        return listPending(modules, planUp(modules, rows, options.ring));
      },
      { signal: options.signal },
    ),
  );
}

function createSchema(session: SchemaSession): Schema {
  const { client, table, options } = session;
  const { ring } = options;
  const rows = () => readMigrationRows(client, table);
  return {
    pendingUp: (target) =>
      explained(options, async () => {
        const modules = await readModules(target);
        return listPending(modules, planUp(modules, await rows(), ring));
      }),
    up: (target, operationId) =>
      explained(options, async () => {
        const modules = await readModules(target);
        return runUp(session, modules, planUp(modules, await rows(), ring), operationId);
      }),
    undo: (operationId, target, mode = 'all') =>
      explained(options, async () => {
        const modules = await readModules(target);
        return runDown(
          session,
          planUndo(modules, await rows(), ring, operationId, mode),
          operationId,
        );
      }),
    planDown: (target, previous, mode) =>
      explained(options, async () => {
        const [to, from] = [await readModules(target), await readModules(previous)];
        return describeDown(planDown(to, from, await rows(), ring, mode));
      }),
    down: (target, previous, mode, operationId) =>
      explained(options, async () => {
        const [to, from] = [await readModules(target), await readModules(previous)];
        return runDown(session, planDown(to, from, await rows(), ring, mode), operationId);
      }),
    ahead: () =>
      explained(options, async () =>
        (await rows()).flatMap(({ alias, name, aheadSince, aheadReason }) =>
          aheadSince === null
            ? []
            : [{ alias, name, reason: aheadReason ?? '', since: aheadSince }],
        ),
      ),
    resolveMigration: (alias, name, is) =>
      explained(options, () => resolveInterrupted(session, alias, name, is)),
  };
}

async function readModules(modules: readonly SchemaModule[]): Promise<ModuleMigrations[]> {
  const read: ModuleMigrations[] = [];
  for (const module of modules) read.push(await readMigrations(module));
  return read;
}

function describeDown({ run, ahead, neededElsewhere }: DownPlan): SchemaDownPlan {
  return {
    run: run.map(({ alias, name, version }) => ({ alias, name, version })),
    ahead: ahead.map(({ row, reason }) => ({ alias: row.alias, name: row.name, reason })),
    neededElsewhere: neededElsewhere.map(({ row: { alias, name }, rings }) => ({
      alias,
      name,
      rings,
    })),
  };
}

/** What was aborted is told as that, and what the driver throws without the password. */
async function explained<T>(
  { databaseUrl, signal }: Pick<SchemaOptions, 'databaseUrl' | 'signal'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw databaseFailed(error, databaseUrl);
  }
}
