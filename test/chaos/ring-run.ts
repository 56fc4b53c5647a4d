import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { query } from '../support/query.ts';
import { waitUntil } from '../support/wait-until.ts';
import { auditFaults, describeRing, findFaults, hasSettled } from './ring-checker.ts';
import { type ChaosOperation, createRingWorld, type RingWorld } from './ring-world.ts';

export interface ChaosOptions {
  readonly replicas: number;
  readonly operations: number;
  readonly seed: number;
  readonly say?: (line: string) => void;
}

/** What a run was, in figures. */
export interface ChaosFigures {
  readonly operations: number;
  readonly kills: number;
  readonly ringOperations: Readonly<Record<string, number>>;
  readonly handlers: Readonly<Record<string, number>>;
  readonly migrations: number;
  readonly events: number;
  readonly faults: readonly string[];
}

/** Commits and kills at random, and judges the ring each time that it has come to rest. */
export async function runRingChaos(t: TestContext, options: ChaosOptions): Promise<ChaosFigures> {
  const random = createRandom(options.seed);
  const world = await createRingWorld(t, options.replicas);
  for (const replica of world.replicas) replica.start();
  const first = {
    commit: world.platform.git('rev-parse', 'HEAD'),
    version: '1.0.0',
    idempotent: true,
  };
  await settled(world, first);
  const faults: string[] = [];
  let kills = 0;
  for (let number = 1; number <= options.operations && faults.length === 0; number++) {
    const isDown = random() < 0.3;
    const operation = (isDown ? world.downgrade() : undefined) ?? world.upgrade(number % 2 === 0);
    const killed = await killAtRandom(world, random);
    kills += killed;
    // Sometimes the next commit comes while this one is under way.
    if (random() < 0.2 && number < options.operations) continue;
    await settled(world, operation);
    faults.push(...(await findFaults(world, operation)));
    options.say?.(
      `${number} ${operation.version} ${operation.idempotent ? 'idempotent' : 'once'}, ${killed} killed: ${faults.length === 0 ? 'well' : faults.join('; ')}`,
    );
  }
  faults.push(...(await delivered(world)));
  return { ...(await readFigures(world)), operations: options.operations, kills, faults };
}

/** Kills some, or all at once, a few times, and starts them again after a moment. */
async function killAtRandom(world: RingWorld, random: () => number): Promise<number> {
  let kills = 0;
  const times = Math.floor(random() * 4);
  for (let time = 0; time < times; time++) {
    await delay(random() * 1_500);
    const isAll = random() < 0.15;
    const victims = world.replicas.filter(() => isAll || random() < 0.3);
    await Promise.all(victims.map((victim) => victim.kill()));
    kills += victims.length;
    await delay(random() * 300);
    for (const victim of victims) victim.start();
  }
  return kills;
}

async function settled(world: RingWorld, operation: ChaosOperation): Promise<void> {
  await waitUntil(
    `the ring has settled at ${operation.version}`,
    () => hasSettled(world, operation),
    120_000,
  ).catch(async (error: Error) => {
    throw new Error(`${error.message}\n${await describeRing(world)}`);
  });
}

/** The audit arrives a moment later. */
async function delivered(world: RingWorld): Promise<string[]> {
  let faults: string[] = [];
  await waitUntil(
    'the audit is in Postgres',
    async () => {
      faults = await auditFaults(world);
      return faults.length === 0;
    },
    30_000,
  ).catch(() => {});
  return faults;
}

async function readFigures(world: RingWorld) {
  const count = async (url: string, sql: string) =>
    Object.fromEntries(
      (await query<{ name: string; count: number }>(url, sql)).map((row) => [row.name, row.count]),
    );
  const { ringUrl, applicationUrl } = world;
  return {
    ringOperations: await count(
      ringUrl,
      'select state as name, count(*)::int from ring_operations group by 1',
    ),
    handlers: await count(
      ringUrl,
      `select state as name, count(*)::int from ring_steps where key like 'handler %' group by 1`,
    ),
    migrations: (await query(applicationUrl, 'select from runs')).length,
    events: (await query(ringUrl, 'select from audit_events')).length,
  };
}

/** mulberry32: the same run for the same seed, as far as kills and commits go. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
