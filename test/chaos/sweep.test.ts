import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { stopOwnPostgres } from '../support/postgres.ts';
import { sweepSteps } from './sweep.ts';

after(stopOwnPostgres);

// Every step, and of a plain upgrade and an installation too: npm run test:chaos.
for (const [scenario, stride] of [
  ['migrating upgrade', 857],
  ['sick upgrade', 967],
] as const) {
  test(`a step of ${scenario} that fails, or is the last, breaks no promise`, async () => {
    const report = await sweepSteps({ scenario, stride, workers: 2 });
    assert.deepEqual(report.failures, []);
    assert.ok(report.struck > report.cases / 2, `${report.struck} of ${report.cases} struck`);
  });
}
