import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { stopOwnPostgres } from '../support/postgres.ts';
import { sweepSteps } from './sweep.ts';

after(stopOwnPostgres);

// Every step: npm run test:chaos.
for (const [scenario, stride] of [
  ['upgrade', 307],
  ['install', 409],
  ['migrating upgrade', 571],
  ['sick upgrade', 641],
] as const) {
  test(`a step of ${scenario} that fails, or is the last, breaks no promise`, async () => {
    const report = await sweepSteps({ scenario, stride, workers: 2 });
    assert.deepEqual(report.failures, []);
    assert.ok(report.struck > report.cases / 2, `${report.struck} of ${report.cases} struck`);
  });
}
