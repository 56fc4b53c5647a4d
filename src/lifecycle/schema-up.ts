import { RinglockError, refused } from '../errors.ts';
import type { ModuleMigrations } from './migration-files.ts';
import { applyMigration, type SchemaStep } from './migration-run.ts';
import { type MigrationRow, migrationKey, type UpPlan, type UpStep } from './schema-plan.ts';
import type { SchemaSession } from './schema-session.ts';

export interface PendingMigration {
  readonly alias: string;
  readonly name: string;
  readonly version: string;
  /** Whether its SQL is to be run; else it is applied, and only this ring has to be noted. */
  readonly runs: boolean;
}

/** In the order of `up`; what `up` would refuse is pending too. */
export function listPending(
  modules: readonly ModuleMigrations[],
  plan: UpPlan,
): readonly PendingMigration[] {
  const key = ({ alias, migration }: UpStep) => migrationKey({ alias, name: migration.name });
  const runs = new Set([...plan.run, ...plan.edited, ...plan.interrupted].map(key));
  const joins = new Set(plan.join.map(key));
  return stepsOf(modules)
    .filter((step) => runs.has(key(step)) || joins.has(key(step)))
    .map((step) => ({
      alias: step.alias,
      name: step.migration.name,
      version: step.version,
      runs: runs.has(key(step)),
    }));
}

/** @throws RinglockError `migration-edited`, `migration-interrupted`, `migration-failed` */
export async function runUp(
  session: SchemaSession,
  modules: readonly ModuleMigrations[],
  plan: UpPlan,
  operationId: string,
): Promise<readonly SchemaStep[]> {
  if (plan.edited[0] !== undefined) throw editedError(plan.edited[0]);
  if (plan.interrupted[0] !== undefined) throw interruptedError(plan.interrupted[0], session.table);
  await joinRing(session, plan.join, operationId);
  await session.options.fault?.('up:joined');
  const ran: SchemaStep[] = [];
  const pending = new Set<unknown>(plan.run.map(({ migration }) => migration));
  const keyed = stepsOf(modules).map((step) => ({
    step,
    key: migrationKey({ alias: step.alias, name: step.migration.name }),
  }));
  const { Umzug } = (await import('umzug')).default;
  const umzug = new Umzug({
    migrations: keyed.map(({ step, key }) => ({
      name: key,
      up: async () => {
        ran.push(await applyMigration(session, step, operationId));
      },
    })),
    storage: {
      executed: async () =>
        keyed.filter(({ step }) => !pending.has(step.migration)).map(({ key }) => key),
      // The migration's own transaction has done it.
      logMigration: async () => {},
      unlogMigration: async () => {},
    },
    logger: undefined,
  });
  try {
    await umzug.up();
  } catch (error) {
    throw causeOf(error);
  }
  return ran;
}

/** umzug wraps what a migration throws. */
export function causeOf(error: unknown): unknown {
  return error instanceof Error && !(error instanceof RinglockError) && error.cause !== undefined
    ? error.cause
    : error;
}

function stepsOf(modules: readonly ModuleMigrations[]): UpStep[] {
  return modules.flatMap(({ alias, version, migrations }) =>
    migrations.map((migration) => ({ alias, version, migration })),
  );
}

async function joinRing(
  { client, table, options }: SchemaSession,
  steps: readonly UpStep[],
  operationId: string,
): Promise<void> {
  if (steps.length === 0) return;
  await client.query(
    `update ${table} as known set
       rings = array(select distinct ring from unnest(known.rings || $3::text) ring order by 1),
       joined = known.joined || jsonb_build_object($3::text, $4::text),
       ahead_since = null
     from unnest($1::text[], $2::text[]) as wanted (module, name)
     where known.module = wanted.module and known.name = wanted.name`,
    [
      steps.map(({ alias }) => alias),
      steps.map(({ migration }) => migration.name),
      options.ring,
      operationId,
    ],
  );
}

type Found = UpStep & { readonly row: MigrationRow };

function editedError({ alias, version, migration, row }: Found): RinglockError {
  return refused(
    'migration-edited',
    `${alias} ${version}: migration ${migration.name}.up.sql was edited after ${row.version} had applied it: its sha256 is ${migration.checksum}, expected ${row.checksum}`,
    {
      hint: 'Put its text back as it was (line endings count) and write the change as a new migration.',
      details: { module: alias, version, name: migration.name, file: migration.up.path },
    },
  );
}

function interruptedError({ alias, version, migration, row }: Found, table: string): RinglockError {
  const { name } = migration;
  const direction = row.state.startsWith('revert') ? 'down' : 'up';
  return refused(
    'migration-interrupted',
    `${alias} ${version}: migration ${name}.${direction}.sql was interrupted in operation ${row.operationId} (state ${row.state}): it may be half done, and is not marked idempotent`,
    {
      hint: `Compare the database with ${migration.up.path}. Then either finish it by hand and say so: update ${table} set state = 'applied' where module = '${alias}' and name = '${name}'; or take it back by hand: delete from ${table} where module = '${alias}' and name = '${name}'.`,
      details: {
        module: alias,
        version,
        name,
        file: migration.up.path,
        state: row.state,
        operation: row.operationId,
      },
    },
  );
}
