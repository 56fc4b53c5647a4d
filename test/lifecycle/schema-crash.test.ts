import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { build } from 'esbuild';
import { stopOwnPostgres } from '../support/postgres.ts';
import { crashFiles, crashModules } from './schema-process.ts';
import { makePlatform, type Platform, writeModule } from './schema-support.ts';

let program = '';

before(async () => {
  program = join(mkdtempSync(join(tmpdir(), 'ringlock-migrate-')), 'schema-process.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'schema-process.ts')],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['node:*', 'pg-native'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
});
after(async () => {
  rmSync(join(program, '..'), { recursive: true, force: true });
  await stopOwnPostgres();
});

interface Run {
  readonly ring?: string;
  /** The fault point at which it is killed. */
  readonly killAt?: number;
  readonly operation?: string;
  readonly mode?: 'up' | 'down' | 'undo';
}

async function migrate({ url, directory }: Platform, run: Run = {}) {
  const { ring = 'stable', killAt = 0, operation = randomUUID(), mode = 'up' } = run;
  const child = spawn(
    process.execPath,
    [program, url, directory, ring, String(killAt), operation, mode],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  const [code, signal] = await once(child, 'close');
  return { code, signal, points: Number(output) };
}

async function prepare(t: TestContext, files = crashFiles) {
  const platform = await makePlatform(t, 'crash');
  writeModule(platform.directory, 'orders', '1.0.0', {});
  writeModule(platform.directory, 'orders', '1.1.0', files);
  await platform.query('create table runs (what text)');
  const runs = async () =>
    (await platform.query<{ what: string }>('select what from runs')).map(({ what }) => what);
  return { ...platform, runs };
}

const allUp = ['1 up', '2 up', '3 up'];
const allDown = ['3 down', '2 down', '1 down'];
const applied = ['0001_a', '0002_b', '0003_c'].map((name) => `orders/${name} applied {stable}`);

/** Kills a process at each of its fault points, on two databases at a time. */
async function atEachPoint(points: number, kill: (killAt: number) => Promise<void>) {
  assert.ok(points >= 6, `${points} fault points`);
  let point = 0;
  const sweep = async () => {
    while (point < points) await kill(++point);
  };
  await Promise.all([sweep(), sweep()]);
}

describe('a process that is killed while it migrates', () => {
  it('is followed by one that ends with each applied exactly once', async (t) => {
    const whole = await migrate(await prepare(t));
    assert.equal(whole.code, 0);
    await atEachPoint(whole.points, async (killAt) => {
      const platform = await prepare(t);
      const operation = randomUUID();
      const { signal } = await migrate(platform, { killAt, operation });
      assert.equal(signal, 'SIGKILL', `point ${killAt}`);
      await platform.up([crashModules(platform.directory).newer], operation);
      assert.deepEqual(await platform.runs(), allUp, `point ${killAt}`);
      assert.deepEqual(await platform.rows(), applied, `point ${killAt}`);
    });
  });

  it('is followed by one that takes each back exactly once', async (t) => {
    const first = await prepare(t);
    await migrate(first);
    const whole = await migrate(first, { mode: 'down' });
    assert.deepEqual(await first.runs(), [...allUp, ...allDown]);
    await atEachPoint(whole.points, async (killAt) => {
      const platform = await prepare(t);
      const { older, newer } = crashModules(platform.directory);
      await platform.up([newer]);
      const { signal } = await migrate(platform, { killAt, mode: 'down' });
      assert.equal(signal, 'SIGKILL', `point ${killAt}`);
      await platform.schema((s) => s.down([older], [newer], 'all', randomUUID()));
      assert.deepEqual(await platform.runs(), [...allUp, ...allDown], `point ${killAt}`);
      assert.deepEqual(await platform.rows(), [], `point ${killAt}`);
    });
  });

  it('is followed by one that undoes its operation, killed itself or not', async (t) => {
    const files = Object.fromEntries(
      Object.entries(crashFiles).filter(([name]) => name.startsWith('0001')),
    );
    const operation = randomUUID();
    const first = await prepare(t, files);
    const { points } = await migrate(first, { operation });
    const undoing = await migrate(first, { operation, mode: 'undo' });
    assert.deepEqual(await first.rows(), []);
    const isUndone = async (platform: Awaited<ReturnType<typeof prepare>>, what: string) => {
      const { newer } = crashModules(platform.directory);
      await platform.schema((s) => s.undo(operation, [newer]));
      assert.deepEqual(await platform.rows(), [], what);
      assert.deepEqual(await platform.tables(), ['runs'], what);
      const runs = await platform.runs();
      const ups = runs.filter((run) => run.endsWith('up')).map((run) => run.slice(0, 1));
      const downs = runs.filter((run) => run.endsWith('down')).map((run) => run.slice(0, 1));
      assert.deepEqual(downs, ups.toReversed(), what);
    };
    await atEachPoint(points, async (killAt) => {
      const platform = await prepare(t, files);
      assert.equal((await migrate(platform, { killAt, operation })).signal, 'SIGKILL');
      await isUndone(platform, `up killed at point ${killAt}`);
    });
    await atEachPoint(undoing.points, async (killAt) => {
      const platform = await prepare(t, files);
      await platform.up([crashModules(platform.directory).newer], operation);
      const { signal } = await migrate(platform, { killAt, operation, mode: 'undo' });
      assert.equal(signal, 'SIGKILL');
      await isUndone(platform, `undo killed at point ${killAt}`);
    });
  });

  it('leaves one that may not run again interrupted', async (t) => {
    const files = {
      '0001_a.up.sql': `-- ringlock: no-transaction\ninsert into runs values ('once')`,
    };
    let killAt = 0;
    let platform = await prepare(t, files);
    while (!(await platform.runs()).includes('once')) {
      platform = await prepare(t, files);
      assert.equal((await migrate(platform, { killAt: ++killAt })).signal, 'SIGKILL');
    }
    const { newer } = crashModules(platform.directory);
    await assert.rejects(platform.up([newer]), { code: 'migration-interrupted' });
    assert.deepEqual(await platform.runs(), ['once']);
    assert.deepEqual(await platform.rows(), ['orders/0001_a interrupted {stable}']);
  });
});

describe('two processes of two rings', () => {
  it('apply each migration once together, and both are noted', async (t) => {
    const platform = await prepare(t);
    const rings = ['canary', 'edge', 'stable'];
    const ended = await Promise.all(rings.map((ring) => migrate(platform, { ring })));
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0, 0],
    );
    assert.deepEqual(await platform.runs(), allUp);
    assert.deepEqual(
      await platform.rows(),
      applied.map((row) => row.replace('{stable}', '{canary,edge,stable}')),
    );
  });
});
