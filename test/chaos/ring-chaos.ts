// npm run test:chaos:ring -- --replicas 8 --operations 200 --seed N
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { runRingChaos } from './ring-run.ts';

const { values } = parseArgs({
  options: {
    replicas: { type: 'string', default: '8' },
    operations: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
  },
});
const options = {
  replicas: Number(values.replicas),
  operations: Number(values.operations),
  seed: Number(values.seed),
};

await test(`ring chaos ${JSON.stringify(options)}`, async (t) => {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  process.env['RINGLOCK_TEST_POSTGRES'] = postgres.url;
  const figures = await runRingChaos(t, { ...options, say: (line) => console.log(line) });
  console.log(JSON.stringify(figures, null, 2));
  if (figures.faults.length > 0) throw new Error(figures.faults.join('\n'));
});
