// npm run bench [-- NAME…]: speed and size as ratios against floors measured in the same run.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Table from 'cli-table3';
import { benchConverge } from './converge.ts';
import { benchFetch } from './fetch.ts';
import { benchHook } from './hook.ts';
import { benchLock } from './lock.ts';
import { benchMemory } from './memory.ts';
import { benchPackage } from './package.ts';
import { benchPlan } from './plan.ts';
import { benchLargeSplit, benchSplit } from './split.ts';
import { benchStart } from './start.ts';
import type { BenchRow } from './support/measure.ts';
import { makePlatformRepository } from './support/platform-repository.ts';

/** In this order: each gets the platform as the one before left it. */
const benches: Readonly<Record<string, (repository: string) => Promise<BenchRow[]>>> = {
  start: benchStart,
  plan: benchPlan,
  package: benchPackage,
  lock: benchLock,
  hook: benchHook,
  fetch: benchFetch,
  converge: benchConverge,
  memory: benchMemory,
  split: benchSplit,
  'split-large': benchLargeSplit,
};

const wanted = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-'));
const table = new Table({
  head: ['what', 'measured', 'floor', 'ratio', 'target'],
  style: { head: [], border: [], compact: true },
});
try {
  const repository = join(directory, 'platform');
  process.stderr.write('platform of 60 modules, 10,000 files, 3,000 commits…\n');
  await makePlatformRepository(repository);
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    process.stderr.write(`${name}…\n`);
    for (const { what, measured, floor, ratio, target } of await bench(repository)) {
      table.push([what, measured, floor, ratio === undefined ? '' : ratio.toFixed(2), target]);
    }
  }
  console.log(table.toString());
} finally {
  rmSync(directory, { recursive: true, force: true });
}
