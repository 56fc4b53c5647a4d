// npm test [-- NAME…]: starts one PostgreSQL for the run and gives every test file to node's test
// runner, in parallel. NAME filters files by substring.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { bundleTests } from './bundle-tests.ts';
import { startPostgres } from './support/postgres.ts';

const filters = process.argv.slice(2);
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
  .map((name) => join('test', name))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${filters.join(', ')}`);
  process.exit(2);
}

const postgres = await startPostgres();
const runner = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-reporter=spec',
    // A test that fails may leave something open; nothing may hold the run up.
    '--test-force-exit',
    `--test-timeout=${10 * 60_000}`,
    // Many wait for a health gate or for each other: one file more than there are processors.
    `--test-concurrency=${Math.max(2, availableParallelism()) + 1}`,
    ...(await bundleTests(files)),
  ],
  { stdio: 'inherit', env: { ...process.env, RINGLOCK_TEST_POSTGRES: postgres.url } },
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal));
runner.on('close', async (code) => {
  await postgres.stop();
  process.exit(code ?? 1);
});
