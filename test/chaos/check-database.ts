import { isDeepStrictEqual } from 'node:util';
import { query } from '../support/query.ts';
import type { Observation } from './checker.ts';
import { readAuditJournal } from './read-audit.ts';

/** Invariant 3: Postgres has exactly the journal's events, each once and unchanged. */
export async function databaseEvents(observed: Observation): Promise<string[]> {
  if (observed.databaseUrl === undefined) return [];
  const { events } = await readAuditJournal(observed.root);
  const rows = await query<{ id: string; hash: string; sequence: string; root: string }>(
    observed.databaseUrl,
    'select id, hash, sequence, root from audit_events order by sequence, id',
  );
  const words: string[] = [];
  const inJournal = events.map(({ id, hash, sequence }) => `${sequence} ${id} ${hash}`);
  const inDatabase = rows.map(({ id, hash, sequence }) => `${sequence} ${id} ${hash}`);
  for (const event of inJournal) {
    if (!inDatabase.includes(event)) words.push(`Postgres lacks event ${event}`);
  }
  for (const event of inDatabase) {
    if (!inJournal.includes(event)) words.push(`only Postgres has event ${event}`);
  }
  if (inJournal.length !== inDatabase.length) {
    words.push(`Postgres has ${inDatabase.length} events, the journal ${inJournal.length}`);
  }
  const chains = new Set(rows.map(({ root }) => root));
  if (chains.size > 1) words.push(`Postgres has ${chains.size} chains of one root`);
  return words;
}

/** Each operation has one row, with what became of it. */
export async function databaseOperations(observed: Observation): Promise<string[]> {
  if (observed.databaseUrl === undefined) return [];
  const { events } = await readAuditJournal(observed.root);
  const expected = events
    .filter(({ action }) => action === 'operation')
    .map(({ operationId, outcome }) => `${operationId} ${outcome}`)
    .sort();
  const rows = await query<{ id: string; state: string }>(
    observed.databaseUrl,
    'select id, state from operations order by id',
  );
  const found = rows.map(({ id, state }) => `${id} ${state}`).sort();
  return isDeepStrictEqual(found, expected)
    ? []
    : [`operations has ${found.join(', ')}, expected ${expected.join(', ')}`];
}

/** The active versions are those that are served. */
export async function activeVersions(observed: Observation): Promise<string[]> {
  const { databaseUrl, served, ring } = observed;
  if (databaseUrl === undefined || typeof served !== 'object') return [];
  const rows = await query<{ alias: string; version: string; content_hash: string }>(
    observed.databaseUrl,
    `select alias, version, content_hash from module_versions
     where ring = $1 and is_active`,
    [ring],
  );
  const found = rows.map(
    ({ alias, version, content_hash }) => `${alias} ${version} ${content_hash}`,
  );
  const expected = Object.entries(served.lock.modules).map(
    ([alias, { version, sha256 }]) => `${alias} ${version} ${sha256}`,
  );
  return isDeepStrictEqual(found.sort(), expected.sort())
    ? []
    : [`active are ${found.join(', ')}, served are ${expected.join(', ')}`];
}

/** What an operator is told of this replica is what it serves. */
export async function databaseStatus(observed: Observation): Promise<string[]> {
  const { databaseUrl, served, expected: standing } = observed;
  if (databaseUrl === undefined || typeof served !== 'object') return [];
  const rows = await query<{ state: string; converged_commit: string; generation: string }>(
    observed.databaseUrl,
    'select state, converged_commit, generation from reconciler_status where ring = $1',
    [observed.ring],
  );
  const expected = [
    {
      state: standing.state,
      converged_commit: standing.commit,
      generation: String(served.number),
    },
  ];
  return isDeepStrictEqual(
    rows.map((row) => ({ ...row })),
    expected,
  )
    ? []
    : [`reconciler_status is ${JSON.stringify(rows)}, expected ${JSON.stringify(expected)}`];
}
