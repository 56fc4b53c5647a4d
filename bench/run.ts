// npm run bench [-- NAME…]: speed and size as ratios against floors measured in the same run.
import Table from 'cli-table3';
import { benchPlan } from './plan.ts';
import type { BenchRow } from './support/measure.ts';

const benches: Readonly<Record<string, () => Promise<BenchRow[]>>> = {
  plan: benchPlan,
};

const wanted = process.argv.slice(2);
const table = new Table({
  head: ['what', 'measured', 'floor', 'ratio', 'target'],
  style: { head: [], border: [] },
});
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stderr.write(`${name}…\n`);
  for (const { what, measured, floor, ratio, target } of await bench()) {
    table.push([what, measured, floor, ratio === undefined ? '' : ratio.toFixed(2), target]);
  }
}
console.log(table.toString());
