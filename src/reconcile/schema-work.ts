import { join } from 'node:path';
import { refused } from '../errors.ts';
import {
  hasMigrations,
  type SchemaAhead,
  type SchemaModule,
  type SchemaOptions,
  withSchema,
} from '../lifecycle/schema.ts';
import { defaultMigrations, type Settings } from '../repo/settings.ts';
import type { ModuleCode } from './module-code.ts';
import type { RingWork } from './ring/ring-operation.ts';

export interface SchemaFacts {
  readonly ring: string;
  readonly replica: string;
  /** The application's database; undefined where the pod has none. */
  readonly databaseUrl: string | undefined;
  readonly skip: boolean;
  /** `all`: a person asked that also what is not marked as safe goes down. */
  readonly downMode: 'safe' | 'all';
  readonly settings: Settings;
}

/** What a change of versions means for the schema, as work done once for the ring. */
export interface SchemaWork {
  /** Whether a module that changes has migrations, before or after. */
  readonly isChanged: boolean;
  /** Before anything is switched; undefined when there is nothing. */
  readonly up: ((operationId: string) => RingWork) | undefined;
  /** When the operation turned back before or after a switch: its own steps, undone where safe. */
  readonly undo: ((operationId: string) => RingWork) | undefined;
  /** Once every replica has left the versions before. */
  readonly down: ((operationId: string) => RingWork) | undefined;
  /** For an operation of before that was left by everybody: what its modules made and the target lacks. */
  readonly tidy: ((operationId: string, left: readonly ModuleCode[]) => RingWork) | undefined;
}

export const noSchemaWork: SchemaWork = {
  isChanged: false,
  up: undefined,
  undo: undefined,
  down: undefined,
  tidy: undefined,
};

/**
 * @param target what the ring goes to, dependencies first
 * @param previous what it ran, dependencies first
 * @throws RinglockError `migrations-database-missing`
 */
export async function schemaWork(
  facts: SchemaFacts,
  target: readonly ModuleCode[],
  previous: readonly ModuleCode[],
  onAhead: (ahead: readonly SchemaAhead[]) => void,
): Promise<SchemaWork> {
  if (facts.skip) return noSchemaWork;
  const [targets, befores] = [target.map(schemaModule), previous.map(schemaModule)];
  const { databaseUrl } = facts;
  if (databaseUrl === undefined) {
    if (facts.settings.migrations === undefined) return noSchemaWork;
    if (!(await hasMigrations([...targets, ...befores]))) return noSchemaWork;
    throw refused(
      'migrations-database-missing',
      'manifests/ringlock.yaml says that migrations are run, but this pod has no database for them',
      { hint: 'Set MIGRATIONS_DATABASE_URL (or _FILE), or start with --skip-migrations.' },
    );
  }
  const using = (signal: AbortSignal): SchemaOptions => ({
    ...defaultMigrations,
    ...facts.settings.migrations,
    databaseUrl,
    ring: facts.ring,
    replica: facts.replica,
    signal,
  });
  const down =
    (
      key: string,
      from: readonly SchemaModule[],
      to: readonly SchemaModule[],
      mode: 'safe' | 'all',
    ) =>
    (operationId: string): RingWork => ({
      key,
      idempotent: true,
      run: (signal) =>
        withSchema(using(signal), async (schema) => {
          const { ran, ahead } = await schema.down(to, from, mode, operationId);
          onAhead(ahead);
          return `${ran.length} down, ${ahead.length} ahead`;
        }),
    });
  const tidyUp = (operationId: string, left: readonly ModuleCode[]) =>
    down('schema tidy', left.map(schemaModule).reverse(), targets, 'safe')(operationId);
  const isSame = (module: ModuleCode, others: readonly ModuleCode[]) =>
    others.some(({ path }) => path === module.path);
  const changed = [
    ...target.filter((module) => !isSame(module, previous)),
    ...previous.filter((module) => !isSame(module, target)),
  ];
  if (!(await hasMigrations([...targets, ...befores]))) {
    return { ...noSchemaWork, tidy: tidyUp };
  }
  return {
    isChanged: await hasMigrations(changed.map(schemaModule)),
    up: (operationId) => ({
      key: 'migrate',
      idempotent: true,
      run: (signal) =>
        withSchema(using(signal), async (schema) => {
          try {
            return `${(await schema.up(targets, operationId)).length} up`;
          } catch (error) {
            if (!signal.aborted) onAhead((await schema.undo(operationId, targets)).ahead);
            throw error;
          }
        }),
    }),
    // Somebody may have used what the operation made: only what says that it is safe goes.
    undo: (operationId) => ({
      key: 'schema back',
      idempotent: true,
      run: (signal) =>
        withSchema(using(signal), async (schema) => {
          const { ran, ahead } = await schema.undo(operationId, targets, 'safe');
          onAhead(ahead);
          return `${ran.length} down, ${ahead.length} ahead`;
        }),
    }),
    down: down('schema down', [...befores].reverse(), targets, facts.downMode),
    tidy: tidyUp,
  };
}

function schemaModule({ alias, version, path, manifest }: ModuleCode): SchemaModule {
  return { alias, version, migrations: join(path, manifest.migrations) };
}
