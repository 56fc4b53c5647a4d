import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readEvents, readStatusFile } from '../support/deploy.ts';
import { lockedAt } from '../support/platform.ts';
import { query } from '../support/query.ts';
import { type ChaosOperation, type ChaosReplica, type RingWorld, ring } from './ring-world.ts';

interface StepRow {
  readonly operation: string;
  readonly key: string;
  readonly state: string;
  readonly attempt: number;
  readonly idempotent: boolean;
}

/** Whether a ring has come to rest: all serve one set of versions, and nothing is under way. */
export async function hasSettled(world: RingWorld, { commit }: ChaosOperation): Promise<boolean> {
  const isResting = ({ root }: ChaosReplica) => {
    try {
      const status = readStatusFile(root);
      return status.commit === commit && (status.state === 'converged' || status.state === 'held');
    } catch {
      return false;
    }
  };
  if (!world.replicas.every(isResting)) return false;
  const open = await query(
    world.ringUrl,
    `select from ring_operations where state = 'rolling' or state = 'reverting'`,
  );
  return open.length === 0;
}

/**
 * What is wrong with a ring that has come to rest, judged from outside: from git, the databases, the
 * handler's own log and the files of the roots.
 */
export async function findFaults(world: RingWorld, operation: ChaosOperation): Promise<string[]> {
  return [
    ...(await migrationFaults(world)),
    ...(await handlerFaults(world)),
    ...(await servingFaults(world, operation)),
  ];
}

/** Every migration that is applied ran once more than it was taken back; nothing half done is left. */
async function migrationFaults({ applicationUrl }: RingWorld): Promise<string[]> {
  const [table] = await query<{ there: string | null }>(
    applicationUrl,
    `select to_regclass('module_migrations')::text as there`,
  );
  if (table?.there === null) return [];
  const rows = await query<{ name: string; state: string }>(
    applicationUrl,
    'select name, state from module_migrations',
  );
  const runs = await query<{ name: string; count: number }>(
    applicationUrl,
    'select name, count(*)::int as count from runs group by name',
  );
  const count = new Map(runs.map((row) => [row.name, row.count]));
  const applied = new Map(rows.map(({ name, state }) => [name, state]));
  const names = new Set([...applied.keys(), ...count.keys()].filter((n) => !n.startsWith('down ')));
  return [...names].flatMap((name) => {
    const state = applied.get(name);
    if (state !== undefined && state !== 'applied') return [`migration ${name} is ${state}`];
    const net = (count.get(name) ?? 0) - (count.get(`down ${name}`) ?? 0);
    const expected = state === undefined ? 0 : 1;
    return net === expected ? [] : [`migration ${name} ran ${net} times, expected ${expected}`];
  });
}

/** One success for each handler of an operation, told once by the handler itself; never two at once. */
async function handlerFaults(world: RingWorld): Promise<string[]> {
  const steps = await query<StepRow>(
    world.ringUrl,
    `select operation_id as operation, key, state, attempt, idempotent from ring_steps
     where key like 'handler %' order by started_at`,
  );
  const runs = world.log.runs();
  const faults = runs
    .filter(({ what }) => what === 'overlap')
    .map(({ version }) => `two at once in ${version}`);
  const begun = steps.filter(({ state }) => state === 'started');
  faults.push(...begun.map(({ operation }) => `a step of ${operation} is open`));
  for (const operation of new Set(steps.map((step) => step.operation))) {
    const own = steps.filter((step) => step.operation === operation);
    const succeeded = own.filter(({ state }) => state === 'succeeded').length;
    const interrupted = own.filter(({ state }) => state === 'interrupted');
    const told = runs.filter((run) => run.operation === operation);
    const ended = told.filter(({ what }) => what === 'end').length;
    const started = told.filter(({ what }) => what === 'begin').length;
    if (succeeded > 1) faults.push(`${operation}: ${succeeded} handlers succeeded`);
    if (ended < succeeded) faults.push(`${operation}: succeeded, but the handler never ended`);
    // It may have ended just before whoever ran it was killed.
    if (ended > succeeded + interrupted.length) faults.push(`${operation}: ended ${ended} times`);
    if (started > own.length)
      faults.push(`${operation}: began ${started} times, ${own.length} known`);
    if (
      own.length > 1 &&
      own.some(({ idempotent, state }) => !idempotent && state === 'interrupted')
    ) {
      faults.push(`${operation}: ran again although it is not idempotent`);
    }
  }
  return faults;
}

/** All serve the tip's lock, or all hold the same versions with a failure on record. */
async function servingFaults(world: RingWorld, { commit }: ChaosOperation): Promise<string[]> {
  const wanted = Object.fromEntries(
    lockedAt(world.platform, commit, ring).map(({ alias, version }) => [alias, version]),
  );
  const faults: string[] = [];
  const served = new Set<string>();
  for (const { name, root } of world.replicas) {
    const { state, modules } = readStatusFile(root);
    const text = JSON.stringify(sorted(modules));
    served.add(text);
    const isTip = text === JSON.stringify(sorted(wanted));
    if (state === 'converged' && !isTip) faults.push(`${name} is converged on ${text}`);
  }
  if (served.size > 1) faults.push(`replicas serve different versions: ${[...served].join(' ')}`);
  return faults;
}

/** A root's chain of events is whole, and Postgres has the same. */
export async function auditFaults({ replicas, ringUrl }: RingWorld): Promise<string[]> {
  const rows = await query<{ id: string; hash: string; previous: string }>(
    ringUrl,
    'select id, hash, previous from audit_events',
  );
  const known = new Map(rows.map((row) => [row.id, row]));
  const faults: string[] = [];
  let count = 0;
  for (const { name, root } of replicas) {
    let previous: unknown;
    for (const event of readEvents(root)) {
      count++;
      if (previous !== undefined && event['previous'] !== previous) {
        faults.push(`${name}: the chain breaks at ${event['id']}`);
      }
      previous = event['hash'];
      if (known.get(String(event['id']))?.hash !== event['hash']) {
        faults.push(`${name}: Postgres lacks event ${event['id']}`);
      }
    }
  }
  if (count !== rows.length)
    faults.push(`${rows.length} events in Postgres, ${count} in the roots`);
  return faults;
}

/** What a ring looks like, for whoever has to find out why it does not come to rest. */
export async function describeRing({ replicas, ringUrl }: RingWorld): Promise<string> {
  const operations = await query(
    ringUrl,
    `select id, state, reason, commit, is_return, members, leader, created_at
     from ring_operations order by created_at desc limit 5`,
  );
  const states = await query(ringUrl, 'select * from ring_replicas order by replica');
  const steps = await query(
    ringUrl,
    `select operation_id, key, attempt, state, replica, detail, started_at
     from ring_steps order by started_at desc limit 12`,
  );
  const ofReplicas = replicas.map((replica) => {
    const log = readFileSync(join(dirname(replica.root), 'log'), 'utf8')
      .trimEnd()
      .split('\n');
    const status = JSON.stringify(readStatusFile(replica.root));
    return `--- ${replica.name} running=${replica.isRunning()} ${status}\n${log.slice(-5).join('\n')}`;
  });
  const rows = [...operations, ...states, ...steps].map((row) => JSON.stringify(row));
  return [...rows, ...ofReplicas].join('\n');
}

function sorted(modules: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(modules).sort(([a], [b]) => (a < b ? -1 : 1));
}
