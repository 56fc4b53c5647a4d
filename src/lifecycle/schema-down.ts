import { inTransaction } from '../audit/database.ts';
import { RinglockError } from '../errors.ts';
import { revertMigration, type SchemaStep } from './migration-run.ts';
import {
  type DownPlan,
  type DownStep,
  type MigrationRow,
  migrationKey,
  type UndoPlan,
} from './schema-plan.ts';
import type { SchemaSession } from './schema-session.ts';
import { aheadSince } from './schema-table.ts';
import { causeOf } from './schema-up.ts';

/** A migration that is in the database although no ring's version contains it. */
export interface SchemaAhead {
  readonly alias: string;
  readonly name: string;
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface NeededElsewhere {
  readonly alias: string;
  readonly name: string;
  /** The rings whose versions contain it. */
  readonly rings: readonly string[];
}

export interface SchemaDown {
  readonly ran: readonly SchemaStep[];
  readonly ahead: readonly SchemaAhead[];
  readonly neededElsewhere: readonly NeededElsewhere[];
  /** The down step that failed and was rolled back; what was to follow is in `ahead`. */
  readonly failed: RinglockError | undefined;
}

/**
 * Notes first what only leaves this ring, then runs the steps. Each removes its row with itself, so
 * that a plan made again after a crash has what is left.
 */
export async function runDown(
  session: SchemaSession,
  plan: DownPlan & Partial<UndoPlan>,
  operationId: string,
): Promise<SchemaDown> {
  const ahead: SchemaAhead[] = [];
  await inTransaction(session.client, async () => {
    await leaveToOthers(session, [
      ...plan.neededElsewhere.map(({ row }) => row),
      ...(plan.leave ?? []),
    ]);
    for (const { row, reason } of plan.ahead) ahead.push(await markAhead(session, row, reason));
  });
  await session.options.fault?.('down:noted');
  const { ran, failed } = await runSteps(session, plan.run, operationId);
  for (const step of plan.run.slice(failed === undefined ? plan.run.length : ran.length)) {
    const first = plan.run[ran.length] ?? step;
    const reason =
      step === first
        ? `its down step failed: ${failed?.message}`
        : `the down step of ${migrationKey(first)} failed before`;
    ahead.push(await markAhead(session, step, reason));
  }
  const neededElsewhere = plan.neededElsewhere.map(({ row: { alias, name }, rings }) => ({
    alias,
    name,
    rings,
  }));
  return { ran, ahead, neededElsewhere, failed };
}

async function runSteps(
  session: SchemaSession,
  steps: readonly DownStep[],
  operationId: string,
): Promise<{ readonly ran: readonly SchemaStep[]; readonly failed: RinglockError | undefined }> {
  const ran: SchemaStep[] = [];
  const keys = steps.map(migrationKey);
  const { Umzug } = (await import('umzug')).default;
  const umzug = new Umzug({
    migrations: steps.map((step) => ({
      name: migrationKey(step),
      up: async () => {},
      down: async () => {
        ran.push(await revertMigration(session, step, operationId));
      },
    })),
    storage: {
      executed: async () => keys,
      logMigration: async () => {},
      // The down step's own transaction has done it.
      unlogMigration: async () => {},
    },
    logger: undefined,
  });
  try {
    if (keys.length > 0) await umzug.down({ migrations: keys });
    return { ran, failed: undefined };
  } catch (error) {
    const cause = causeOf(error);
    if (cause instanceof RinglockError) return { ran, failed: cause };
    throw cause;
  }
}

/** Those that no ring needs any more (joined while they were ahead) are ahead again. */
async function leaveToOthers(
  { client, table, options }: SchemaSession,
  rows: readonly MigrationRow[],
): Promise<void> {
  if (rows.length === 0) return;
  await client.query(
    `update ${table} as known set
       rings = array_remove(known.rings, $3),
       joined = known.joined - $3::text,
       ahead_since = case when array_remove(known.rings, $3) = '{}'
         then coalesce(known.ahead_since, now()) else known.ahead_since end,
       ahead_reason = coalesce(known.ahead_reason, 'no ring needs it')
     from unnest($1::text[], $2::text[]) as wanted (module, name)
     where known.module = wanted.module and known.name = wanted.name`,
    [rows.map(({ alias }) => alias), rows.map(({ name }) => name), options.ring],
  );
}

async function markAhead(
  { client, table, options }: SchemaSession,
  { alias, name }: { readonly alias: string; readonly name: string },
  reason: string,
): Promise<SchemaAhead> {
  const { rows } = await client.query<{ since: string }>(
    `update ${table} set
       rings = array_remove(rings, $3), joined = joined - $3::text,
       ahead_since = coalesce(ahead_since, now()), ahead_reason = $4
     where module = $1 and name = $2 returning ${aheadSince} as since`,
    [alias, name, options.ring, reason],
  );
  return { alias, name, reason, since: rows[0]?.since ?? '' };
}
