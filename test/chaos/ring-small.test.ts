import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { stopOwnPostgres } from '../support/postgres.ts';
import { runRingChaos } from './ring-run.ts';

after(stopOwnPostgres);

test('a ring of four whose replicas are killed at random does everything once', async (t) => {
  // Other seeds: npm run test:chaos:ring, or CHAOS_SEED.
  const seed = Number(process.env['CHAOS_SEED'] ?? 7);
  const figures = await runRingChaos(t, { replicas: 4, operations: 6, seed });
  t.diagnostic(JSON.stringify({ seed, ...figures }));
  assert.deepEqual(figures.faults, [], `seed ${seed}`);
});
