import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import initSqlJs from 'sql.js';
import type { Observation } from './checker.ts';
import {
  endOf,
  type JournalEvent,
  readAuditJournal,
  type VisibleOperation,
  visibleOperations,
} from './read-audit.ts';
import type { LockedModule, LockFile } from './read-root.ts';

/** Invariant 3: the chain of hashes is whole; only a kill leaves a last line without its end. */
export async function auditChain({ root, moment }: Observation): Promise<string[]> {
  const { broken, torn } = await readAuditJournal(root);
  return torn && moment === 'settled' ? [...broken, 'the last line has no end'] : [...broken];
}

/** Invariant 3: what status.json says is done has its event on disk. */
export async function acknowledged({ root }: Observation): Promise<string[]> {
  const text = await readFile(join(root, 'status.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const { state, generation } = JSON.parse(text);
  if (state !== 'converged' && state !== 'held') return [];
  const { events } = await readAuditJournal(root);
  const isAudited = visibleOperations(events).some((one) => endOf(one) === generation);
  return isAudited ? [] : [`generation ${generation} is said to be converged without an event`];
}

/** Invariant 3: every visible change has its events, once; and no event tells of what never was. */
export async function events({ root, memory, served, damage }: Observation): Promise<string[]> {
  const journal = await readAuditJournal(root);
  const operations = visibleOperations(journal.events);
  const words = [
    ...repeated(journal.events.map(({ id }) => id)).map((id) => `event ${id} is there twice`),
    ...repeated(operations.map(({ id }) => id)).map((id) => `operation ${id} is there twice`),
    ...repeated(operations.map(({ to }) => to)).map((to) => `generation ${to} has two operations`),
    ...chainOfGenerations(operations),
  ];
  const current = typeof served === 'object' ? served.number : undefined;
  const end = operations.at(-1);
  const last = end === undefined ? undefined : endOf(end);
  if (last !== current) words.push(`${current} is current, the last event leads to ${last}`);
  for (const number of memory.seen) {
    if (!operations.some(({ to }) => to === number))
      words.push(`generation ${number} has no event`);
  }
  for (const operation of operations) {
    const before = operation.from === null ? { modules: {} } : memory.locks.get(operation.from);
    const after = memory.locks.get(operation.to);
    const isSeen = before !== undefined && after !== undefined;
    if (isSeen) words.push(...stepsOf(operation, before, after, damage !== undefined));
  }
  return words;
}

/** What a person asked is told once, whatever was cut off while it was taken. */
export async function operatorEvents({ root, asked = [] }: Observation): Promise<string[]> {
  const { events: inJournal } = await readAuditJournal(root);
  const found = inJournal
    // The pod tells of its own flags in the same way, asked by nobody.
    .filter(({ action, detail }) => action === 'operator' && detail['request'] !== undefined)
    .map(({ detail, module, to }) => `${detail['request']} ${module} ${to}`);
  return found.join() === asked.join()
    ? []
    : [`the audit says that people asked ${found.join(', ')}, they asked ${asked.join(', ')}`];
}

function repeated<Value>(values: readonly Value[]): Value[] {
  return values.filter((value, index) => values.indexOf(value) !== index);
}

/** Each operation starts where the one before ended: no switch went by without one. */
function chainOfGenerations(operations: readonly VisibleOperation[]): string[] {
  return operations.flatMap(({ from, to, id }, index) => {
    const previous = operations[index - 1];
    const before = previous === undefined ? null : endOf(previous);
    if (from === before) return [];
    return [
      `operation ${id} goes from generation ${from} to ${to}, the one before ended at ${before}`,
    ];
  });
}

function stepsOf(
  operation: VisibleOperation,
  before: Pick<LockFile, 'modules'>,
  after: LockFile,
  mayBeAnything: boolean,
): string[] {
  const what = `operation ${operation.id} to generation ${operation.to}`;
  const words: string[] = [];
  if (operation.steps.length !== operation.saidSteps) {
    words.push(`${what} has ${operation.steps.length} steps, it says ${operation.saidSteps}`);
  }
  const undoing = operation.isReverted ? operation.steps : [];
  const told = ({ module, action, from, to }: JournalEvent) => `${module} ${action} ${from} ${to}`;
  if (operation.undone.map(told).join() !== undoing.map(told).join()) {
    words.push(`${what} takes ${operation.undone.map(told)} back, expected ${undoing.map(told)}`);
  }
  const aliases = new Set([...Object.keys(before.modules), ...Object.keys(after.modules)]);
  for (const alias of aliases) {
    const [from, to] = [before.modules[alias], after.modules[alias]];
    const steps = operation.steps.filter(({ module }) => module === alias);
    const isChanged = from?.sha256 !== to?.sha256 || from?.version !== to?.version;
    if (steps.length > 1) words.push(`${what} has ${steps.length} events of ${alias}`);
    if (isChanged && steps.length === 0) words.push(`${what} has no event of ${alias}`);
    for (const step of steps) words.push(...differences(step, from, to, what));
    if (!isChanged && steps.some(({ action }) => action !== 'repair') && !mayBeAnything) {
      words.push(`${what} changed ${alias}, which is the same before and after`);
    }
  }
  return words;
}

function differences(
  step: JournalEvent,
  from: LockedModule | undefined,
  to: LockedModule | undefined,
  what: string,
): string[] {
  const expected = {
    from: from?.version ?? null,
    to: to?.version ?? null,
    digest: (to ?? from)?.sha256 ?? null,
  };
  return Object.entries(expected).flatMap(([name, value]) =>
    step[name as 'from' | 'to' | 'digest'] === value
      ? []
      : [`${what}, ${step.module}: ${name} is ${step[name as 'from']}, expected ${value}`],
  );
}

/** The SQLite file has the same events, for whoever looks at a pod without Postgres. */
export async function auditFile({ root }: Observation): Promise<string[]> {
  const { events: inJournal } = await readAuditJournal(root);
  if (inJournal.length === 0) return [];
  const bytes = await readFile(join(root, 'audit/audit.sqlite')).catch(() => undefined);
  if (bytes === undefined) return ['audit.sqlite is not there'];
  const { Database } = await initSqlJs();
  const database = new Database(bytes);
  try {
    const [result] = database.exec('select hash from audit_events order by sequence');
    const found = (result?.values ?? []).map(([hash]) => String(hash));
    const expected = inJournal.map(({ hash }) => hash).slice(-10_000);
    return found.join() === expected.join()
      ? []
      : [`audit.sqlite has ${found.length} events, the journal ${expected.length}`];
  } finally {
    database.close();
  }
}
