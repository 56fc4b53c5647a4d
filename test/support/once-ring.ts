import type { TestContext } from 'node:test';
import { deploy, readStatusFile } from './deploy.ts';
import { HandlerLog } from './handler-log.ts';
import { createPlatform, type Platform } from './platform.ts';
import { createDatabase } from './postgres.ts';
import { query } from './query.ts';
import { type Replica, startReplica } from './ring.ts';
import { temporaryDirectory } from './temporary.ts';
import { waitUntil } from './wait-until.ts';

/** A ring whose Orders has migrations that count themselves, and handlers that tell what they do. */
export interface OnceRing {
  readonly platform: Platform;
  readonly repo: string;
  readonly log: HandlerLog;
  /** The ring's database. */
  readonly ringUrl: string;
  /** The application's database, with `runs (name)` and `gate (name)`. */
  readonly applicationUrl: string;
  readonly replicas: Replica[];
  /** Commits and pushes a version of Orders. */
  deploy(version: string, change?: OrdersChange): string;
  /** Waits until all replicas have converged to a commit. */
  converged(commit: string, replicas?: readonly Replica[]): Promise<void>;
  /** Waits, and says what the replicas logged when it is in vain. */
  until<T>(
    what: string,
    ask: () => T | undefined | false | Promise<T | undefined | false>,
  ): Promise<T>;
}

export interface OrdersChange {
  /** Names of migrations; one that is held back waits for letMigrate(). */
  readonly migrations?: readonly string[];
  readonly held?: boolean;
  readonly handler?: 'idempotent' | 'once' | 'none';
  readonly files?: Readonly<Record<string, string>>;
}

export interface OnceRingOptions {
  readonly count?: number;
  readonly ringUrl?: string;
  readonly applicationUrl?: string;
  /** What each replica has as DATABASE_URL, where that is not the ring's database itself. */
  readonly urlOf?: (index: number) => string;
  readonly more?: readonly string[];
  readonly withHealth?: boolean;
  readonly settings?: string;
  /** Of the first version (default: one). */
  readonly migrations?: readonly string[];
}

export async function createOnceRing(
  t: TestContext,
  options: OnceRingOptions = {},
): Promise<OnceRing> {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const log = new HandlerLog(temporaryDirectory(t, 'handlers'));
  const ringUrl = options.ringUrl ?? (await createDatabase());
  const applicationUrl = options.applicationUrl ?? (await createDatabase());
  await query(applicationUrl, 'create table runs (name text, at timestamptz default now())');
  await query(applicationUrl, 'create table gate (name text)');
  const deployOrders = (version: string, change: OrdersChange = {}) => {
    platform.write(ordersFiles(platform, version, change, log));
    return deploy(platform, `Orders ${version}`);
  };
  if (options.settings !== undefined) {
    platform.write({ 'manifests/ringlock.yaml': options.settings });
  }
  const { migrations = ['0001_first'] } = options;
  const first = deployOrders('1.0.1', { migrations });
  const replicas = await startReplicas(t, options, { repo, ringUrl, applicationUrl });
  const until: OnceRing['until'] = async (what, ask) => {
    try {
      return await waitUntil(what, ask, 90_000);
    } catch (error) {
      const logs = replicas.map(({ name, watching }) => `--- ${name}\n${watching.tail()}`);
      throw new Error(`${(error as Error).message}\n${logs.join('\n')}`);
    }
  };
  const converged: OnceRing['converged'] = async (commit, some = replicas) => {
    await until(`all converged to ${commit}`, () =>
      some.every(({ root }) => isConverged(root, commit)),
    );
  };
  await converged(first);
  return {
    ...{ platform, repo, log, ringUrl, applicationUrl, replicas, converged, until },
    deploy: deployOrders,
  };
}

/** Lets the migrations of a held change go on. */
export async function letMigrate({ applicationUrl }: OnceRing, name: string): Promise<void> {
  await query(applicationUrl, 'insert into gate values ($1)', [name]);
}

export interface Step {
  readonly key: string;
  readonly attempt: number;
  readonly state: string;
  readonly replica: string;
  readonly operation: string;
}

/** The ring's steps with a key, oldest first. */
export function stepsOf({ ringUrl }: Pick<OnceRing, 'ringUrl'>, key: string): Promise<Step[]> {
  return query<Step>(
    ringUrl,
    `select key, attempt, state, replica, operation_id as operation from ring_steps
     where key like $1 || '%' order by started_at, attempt`,
    [key],
  );
}

/** The replica that is at a step now. */
export async function runnerOf(ring: OnceRing, key: string): Promise<Replica> {
  return ring.until(`somebody runs ${key}`, async () => {
    const step = (await stepsOf(ring, key)).findLast(({ state }) => state === 'started');
    return ring.replicas.find(({ name }) => name === step?.replica);
  });
}

/** Rows that a migration has left. */
export async function runsOf({ applicationUrl }: OnceRing, name: string): Promise<number> {
  const rows = await query(applicationUrl, 'select name from runs where name = $1', [name]);
  return rows.length;
}

function isConverged(root: string, commit: string): boolean {
  try {
    const { converged_commit, state } = readStatusFile(root);
    return converged_commit === commit && state === 'converged';
  } catch {
    return false;
  }
}

function startReplicas(
  t: TestContext,
  { count = 3, urlOf, more, withHealth = false }: OnceRingOptions,
  { repo, ringUrl, applicationUrl }: { repo: string; ringUrl: string; applicationUrl: string },
): Promise<Replica[]> {
  const started = Array.from({ length: count }, (_, index) => {
    const environment = {
      DATABASE_URL: urlOf?.(index) ?? ringUrl,
      MIGRATIONS_DATABASE_URL: applicationUrl,
    };
    return startReplica(t, index, { repo, environment, withHealth, ...(more && { more }) });
  });
  return Promise.all(started);
}

function ordersFiles(
  platform: Platform,
  version: string,
  { migrations = [], held = false, handler = 'none', files = {} }: OrdersChange,
  log: HandlerLog,
): Record<string, string> {
  const manifest = { ...JSON.parse(platform.read('modules/Orders/module.json')), version };
  const run = { run: 'lifecycle/tell.mjs', idempotent: handler === 'idempotent' };
  const lifecycle = handler === 'none' ? {} : { onUpgrade: run, onDowngrade: run };
  const below: Record<string, string> = {
    'module.json': `${JSON.stringify({ ...manifest, lifecycle }, null, 2)}\n`,
    'lifecycle/tell.mjs': log.code(),
    ...files,
  };
  for (const name of migrations) below[`migrations/${name}.up.sql`] = countingSql(name, held);
  return Object.fromEntries(
    Object.entries(below).map(([path, text]) => [`modules/Orders/${path}`, text]),
  );
}

function countingSql(name: string, held: boolean): string {
  const wait = held
    ? `do $$ begin
  while not exists (select from gate where name = '${name}') loop perform pg_sleep(0.02); end loop;
end $$;
`
    : '';
  return `insert into runs (name) values ('${name}');\n${wait}`;
}
