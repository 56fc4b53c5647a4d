// npm run test:chaos [-- --kills 500 --seed N --workers 2 --stride 1 --steps 1-999 --scenario NAME
// --phase NAME --ways kill,throw]: kills reconcilers at random moments, then lets every single step of
// each scenario fail and be the last, and checks every promise from outside after each. Exits 1 when one
// was broken. With --kills 0 only the sweeps run, with --stride 0 only the kills; --stride 5 takes every
// fifth step, --steps only those between, --ways some of 'kill', 'throw', 'throw in watch' and 'throw at
// a read'. All end after --minutes (60) each, done or not. The program is this checkout's build, or what
// CHAOS_PROGRAM names.
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { killAtRandom } from './random-kills.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { sweepSteps, type Way, ways } from './sweep.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '500' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string', default: '60' },
    stride: { type: 'string', default: '1' },
    steps: { type: 'string' },
    scenario: { type: 'string' },
    ways: { type: 'string' },
    phase: { type: 'string' },
  },
});
const [kills, seed, workers, stride] = [
  values.kills,
  values.seed,
  values.workers,
  values.stride,
].map(Number) as [number, number, number, number];

const postgres = await startPostgres();
process.env['RINGLOCK_TEST_POSTGRES'] = postgres.url;
let failed = false;
try {
  if (kills > 0) await randomKills();
  for (const scenario of scenarios) {
    const isWanted = values.scenario === undefined || values.scenario === scenario;
    if (stride > 0 && isWanted && !failed) await sweep(scenario);
  }
} finally {
  await postgres.stop();
}
process.exit(failed ? 1 : 0);

async function randomKills(): Promise<void> {
  console.log(`random kills: ${kills}, seed ${seed}, ${workers} workers`);
  const startedAt = performance.now();
  const report = await killAtRandom({
    kills,
    seed,
    workers,
    longestMs: Number(values.minutes) * 60_000,
    ...(values.phase !== undefined && { phase: values.phase }),
    onKill: (count, where) => {
      if (count % 25 === 0) console.log(`  ${count} kills, the last in ${where}`);
    },
  });
  if (report.failure !== undefined) {
    failed = true;
    console.error(report.failure);
  }
  printCounts('kills by phase', report.byPhase);
  printCounts('kills by where they landed', report.byPlace);
  const { recoveries, checks, events } = report;
  console.log(
    `${report.kills} kills, ${recoveries} recoveries, ${checks} checks, ${events} events, ${failed ? 'a violation' : '0 violations'}, ${seconds(startedAt)} s`,
  );
}

async function sweep(scenario: Scenario): Promise<void> {
  const startedAt = performance.now();
  const report = await sweepSteps({
    scenario,
    stride,
    workers,
    longestMs: Number(values.minutes) * 60_000,
    ...(values.ways !== undefined && { ways: waysOf(values.ways) }),
    ...(values.steps !== undefined && { range: rangeOf(values.steps) }),
    onCase: (count, failures) => {
      for (const failure of failures) console.error(failure);
      if (count % 50 === 0) console.log(`  ${count} cases`);
    },
  });
  failed ||= report.failures.length > 0;
  console.log(
    `sweep of ${scenario}: ${report.steps} steps, ${report.reads} reads, ${report.cases} cases (${report.struck} struck), ${report.checks} checks, ${report.failures.length} violations, ${seconds(startedAt)} s`,
  );
}

function waysOf(text: string): Way[] {
  return text.split(',').map((name) => {
    const way = ways.find((known) => known === name.trim());
    if (way === undefined) throw new Error(`no way ${name}, expected ${ways.join(', ')}`);
    return way;
  });
}

function rangeOf(text: string): { first: number; last: number } {
  const [first = 1, last = first] = text.split('-').map(Number);
  return { first, last };
}

function printCounts(title: string, counts: ReadonlyMap<string, number>): void {
  console.log(`${title}:`);
  for (const [name, count] of [...counts].sort(([, a], [, b]) => b - a)) {
    console.log(`  ${String(count).padStart(5)}  ${name}`);
  }
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0);
}
