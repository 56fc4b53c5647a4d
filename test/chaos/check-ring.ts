import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { query } from '../support/query.ts';
import type { Observation } from './checker.ts';

/** What a handler of the chaos platform writes, a line a run. */
interface HandlerLine {
  readonly event: string;
  readonly toVersion: string;
  readonly operationId: string;
}

/** Where it writes them: beside the root, which has a name of its own among all. */
export function handlerLogPath(root: string): string {
  return join(dirname(root), `${basename(root)}.handled.jsonl`);
}

interface Attempt {
  readonly operation: string;
  readonly key: string;
  readonly attempt: number;
  readonly state: string;
}

interface MigrationRow {
  readonly module: string;
  readonly name: string;
  readonly state: string;
  readonly isNeeded: boolean;
  readonly isAhead: boolean;
}

async function migrationRows({ migrationsUrl, ring }: Observation): Promise<MigrationRow[]> {
  const found = await query<{ found: string | null }>(
    migrationsUrl,
    `select to_regclass('module_migrations') as found`,
  );
  if (found[0]?.found === null) return [];
  return query<MigrationRow>(
    migrationsUrl,
    `select module, name, state, $1 = any (rings) as "isNeeded", ahead_since is not null as "isAhead"
     from module_migrations order by module, name`,
    [ring],
  );
}

/**
 * Invariant 4: a migration is applied once for each time it goes up. Each writes what it does into
 * `runs`, in the transaction that is to hold its row too.
 */
export async function schemaOnce(observed: Observation): Promise<string[]> {
  if (observed.migrationsUrl === undefined) return [];
  // One statement sees one moment: a migration may be under way in what a kill left behind.
  const exists = await query<{ found: string | null }>(
    observed.migrationsUrl,
    `select to_regclass('module_migrations') as found`,
  );
  const rows =
    exists[0]?.found === null
      ? `(select null::text as module, null::text as name where false)`
      : 'module_migrations';
  const names = await query<{ name: string; ways: string; applied: boolean }>(
    observed.migrationsUrl,
    `select coalesce(r.name, m.name) as name, coalesce(r.ways, '') as ways, m.name is not null as applied
     from (select name, string_agg(way, ' ' order by id) as ways from runs group by name) r
     full join ${rows} m on m.name = r.name`,
  );
  return names.flatMap(({ name, ways, applied }) => {
    const isOnceEach = /^(up down )*(up|up down)?$/.test(ways);
    const isUp = ways.endsWith('up');
    return [
      ...(isOnceEach ? [] : [`migration ${name} ran ${ways}`]),
      ...(isUp === applied
        ? []
        : [`${name} ran ${ways}, its row is ${applied ? '' : 'not '}there`]),
    ];
  });
}

/** The schema is that of the versions served; ahead stays only what nobody may take away. */
export async function schemaFollows(observed: Observation): Promise<string[]> {
  const { migrationsUrl, served } = observed;
  if (migrationsUrl === undefined || typeof served !== 'object') return [];
  const wanted: string[] = [];
  for (const [alias, { directory }] of Object.entries(served.lock.modules)) {
    const names = await readdir(join(served.path, directory, 'migrations')).catch(() => []);
    for (const name of names) {
      if (name.endsWith('.up.sql')) wanted.push(`${alias} ${name.slice(0, -'.up.sql'.length)}`);
    }
  }
  const rows = await migrationRows(observed);
  const needed = rows.filter(({ isNeeded }) => isNeeded).map((row) => `${row.module} ${row.name}`);
  const words = isDeepStrictEqual(needed, wanted.sort())
    ? []
    : [`the ring needs ${needed.join(', ') || 'none'}, its versions have ${wanted.join(', ')}`];
  for (const { module, name, state, isNeeded, isAhead } of rows) {
    if (state !== 'applied') words.push(`${module} ${name} is ${state}`);
    if (isNeeded === isAhead) words.push(`${module} ${name} is needed and ahead, or neither`);
    if (isAhead && !name.endsWith('_kept')) words.push(`${module} ${name} stayed, and may go`);
  }
  return words;
}

/** Every attempt that was begun and not overtaken by a newer commit, by Postgres, or by the file of a ring that is alone. */
async function attempts({ databaseUrl, root }: Observation): Promise<Attempt[]> {
  if (databaseUrl !== undefined) {
    return query<Attempt>(
      databaseUrl,
      `select operation_id as operation, key, attempt, s.state from ring_steps s
       join ring_operations o on o.id = operation_id where o.state <> 'superseded'`,
    );
  }
  const text = await readFile(join(root, 'ring/ring-steps.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const { id, steps } = JSON.parse(text) as { id: string; steps: Omit<Attempt, 'operation'>[] };
  return steps.map((step) => ({ ...step, operation: id }));
}

/** The last step of an operation of the ring, however it ended. */
const endings = ['schema down', 'schema back', 'end'];

/** Invariant 4: what is done once for a ring succeeds once, and what was cut off is gone on with. */
export async function ringSteps(observed: Observation): Promise<string[]> {
  const found = await attempts(observed);
  const keys = new Set(found.map(({ operation, key }) => `${operation} ${key}`));
  const words = found
    .filter(({ state }) => state === 'started')
    .map(({ operation, key }) => `${key} of ${operation} says that it is under way`);
  const tidied = new Set(
    found
      .filter(({ key, state }) => key === 'schema tidy' && state === 'succeeded')
      .map(({ operation }) => operation),
  );
  for (const name of keys) {
    const own = found.filter(({ operation, key }) => `${operation} ${key}` === name);
    const [operation = '', ...key] = name.split(' ');
    // Whoever tidies up does in its place what nobody was left to end.
    if (tidied.has(operation) && endings.includes(key.join(' '))) continue;
    const succeeded = own.filter(({ state }) => state === 'succeeded').length;
    if (succeeded > 1) words.push(`${name} succeeded ${succeeded} times`);
    if (succeeded === 0) words.push(`${name} was begun and did not succeed`);
  }
  return words;
}

/** A handler leaves a line for each attempt that succeeded, and at most one for one that was cut off. */
export async function handlersOnce(observed: Observation): Promise<string[]> {
  const { root, handled } = observed;
  const text = await readFile(handlerLogPath(root), 'utf8').catch(() => '');
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as HandlerLine);
  const known = (await attempts(observed)).filter(({ key }) => key.startsWith('handler '));
  const words: string[] = [];
  for (const { operation, key } of known) {
    const own = known.filter((other) => other.operation === operation && other.key === key);
    const event = key.split(' ')[2];
    const ran = lines.filter((line) => line.operationId === operation && line.event === event);
    const least = own.filter(({ state }) => state === 'succeeded').length;
    if (ran.length < least || ran.length > own.length) {
      words.push(`${key} of ${operation} ran ${ran.length} times in ${own.length} attempts`);
    }
  }
  if (
    handled !== undefined &&
    !lines.some((line) => `${line.event} ${line.toVersion}` === handled)
  ) {
    words.push(`${handled} was never run`);
  }
  return words;
}

/** No operation of the ring is left open or unfinished, whoever began it. */
export async function ringOperations({ databaseUrl }: Observation): Promise<string[]> {
  if (databaseUrl === undefined) return [];
  const rows = await query<{ id: string; state: string }>(
    databaseUrl,
    `select id, state from ring_operations
     where state in ('rolling', 'reverting') or finished_at is null`,
  );
  return rows.map(({ id, state }) => `operation ${id} of the ring is ${state} and unfinished`);
}

/** Whoever loads modules when told runs what `current` shows. */
export async function applicationFollows({ served, loaded }: Observation): Promise<string[]> {
  if (loaded === undefined || typeof served !== 'object') return [];
  const [found, wanted] = [loaded(), served.lock.modules['orders']?.version];
  return found === wanted ? [] : [`the application runs orders ${found}, ${wanted} is served`];
}
