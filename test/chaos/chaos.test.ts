import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { stopOwnPostgres } from '../support/postgres.ts';
import { killAtRandom } from './random-kills.ts';

after(stopOwnPostgres);

test('killed at random moments, a root keeps every promise and each restart converges', async () => {
  // Other seeds: npm run test:chaos, or CHAOS_SEED.
  const seed = Number(process.env['CHAOS_SEED'] ?? 7);
  const report = await killAtRandom({ kills: 16, seed, workers: 2 });
  assert.equal(report.failure, undefined);
  assert.ok(report.kills >= 16);
});
