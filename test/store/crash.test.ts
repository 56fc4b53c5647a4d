import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { digestTree } from '../../src/store/module-tree.ts';
import { openRoot } from '../../src/store/root.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { orders1, orders2, products } from './root-process.ts';
import { deploy, filesOf, makeModule, rootDirectory } from './support.ts';

let program = '';

before(async () => {
  program = join(mkdtempSync(join(tmpdir(), 'ringlock-process-')), 'root-process.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'root-process.ts')],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['node:*'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
  // Readable for the test that runs it as another user.
  execFileSync('chmod', ['-R', 'a+rX', join(program, '..')]);
});
after(() => rmSync(join(program, '..'), { recursive: true, force: true }));

function start(path: string, mode: string, options: { uid?: number } = {}): ChildProcess {
  return spawn(process.execPath, [program, path, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    ...options,
  });
}

async function runToEnd(path: string, mode: string, options: { uid?: number } = {}) {
  const child = start(path, mode, options);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  const [code, signal] = await once(child, 'close');
  return { code, signal, output };
}

/** What an application would find, by what `current` alone says. */
async function versionServed(path: string): Promise<string | undefined> {
  const current = join(path, 'current');
  if (!existsSync(current)) return undefined;
  const lock = JSON.parse(readFileSync(join(current, '.ringlock/lock.json'), 'utf8'));
  for (const entry of Object.values(lock.modules) as { directory: string; sha256: string }[]) {
    const { digest } = await digestTree(join(current, entry.directory));
    assert.equal(digest, entry.sha256);
  }
  return lock.modules.orders.version;
}

test('killed at any step, ends in the old or the new generation and goes on from there', async (t) => {
  const whole = await runToEnd(rootDirectory(t), '0');
  assert.equal(whole.code, 0);
  const steps = Number(whole.output);
  assert.ok(steps > 40, `the sweep has ${steps} steps`);
  const seen = new Set<string | undefined>();
  let step = 0;
  const sweep = async () => {
    while (step < steps) {
      const at = ++step;
      const path = rootDirectory(t);
      const { signal } = await runToEnd(path, String(at));
      assert.equal(signal, 'SIGKILL', `step ${at}`);
      const served = await versionServed(path);
      seen.add(served);
      const root = await openRoot({ path, keepGenerations: 1, retainForMs: 0 });
      try {
        // A very first switch, noted and not yet done, is finished; else nothing visible changes.
        const noted = existsSync(join(path, 'switches.json')) ? '1.0.0' : undefined;
        assert.equal(await versionServed(path), served ?? noted, `step ${at}: what opening shows`);
        assert.deepEqual(readdirSync(join(path, 'staging')), [], `step ${at}`);
        assert.deepEqual([...(await root.findDrift('content'))], [], `step ${at}`);
        const unfinished = root.journal.unfinished()?.prepared;
        if (unfinished !== undefined) {
          const { operationId } = unfinished;
          await root.journal.append({ type: 'reverted', operationId });
        }
        await deploy(root, orders2);
        await root.collectGarbage();
        assert.equal(await versionServed(path), '2.0.0', `step ${at}`);
        assert.deepEqual(readdirSync(join(path, 'versions')), ['orders'], `step ${at}`);
      } finally {
        await root.close();
      }
    }
  };
  await Promise.all([sweep(), sweep()]);
  assert.deepEqual([...seen].sort(), ['1.0.0', '2.0.0', undefined]);
});

test('a reader never sees a mix of two generations, nor a missing file', async (t) => {
  const path = rootDirectory(t);
  const child = start(path, 'churn');
  let hasEnded = false;
  child.stdout?.resume();
  const end = once(child, 'close').then(([code]) => {
    hasEnded = true;
    return code;
  });
  const seen = new Set<string>();
  while (!hasEnded) {
    await new Promise(setImmediate);
    if (!existsSync(join(path, 'current'))) continue;
    const current = realpathSync(join(path, 'current'));
    const lock = JSON.parse(readFileSync(join(current, '.ringlock/lock.json'), 'utf8'));
    const manifest = readFileSync(join(current, 'Orders/module.json'), 'utf8');
    const body = readFileSync(join(current, 'Orders/src/a.php'), 'utf8');
    const version: string = lock.modules.orders.version;
    assert.equal(`${manifest} ${body}`, version === '1.0.0' ? '1 one' : '2 two');
    seen.add(current);
  }
  assert.equal(await end, 0);
  assert.ok(seen.size > 2, `saw ${seen.size} generations`);
});

test('refuses a root that another process owns, and takes over when that is killed', async (t) => {
  const path = rootDirectory(t);
  const child = start(path, 'hold');
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout ?? child, 'data');
  await assert.rejects(openRoot({ path }), {
    code: 'root-owned',
    message: new RegExp(`is owned by process ${child.pid} on ${hostname()} since`),
  });
  child.kill('SIGKILL');
  await once(child, 'close');
  const root = await openRoot({ path });
  assert.equal(root.tookOver, true);
  assert.equal(readdirSync(join(path, 'owner')).length, 1);
  await root.close();
  const next = await openRoot({ path });
  t.after(() => next.close());
  assert.equal(next.tookOver, false, 'it was given up');
});

test('is not misled by a reused pid, nor by a silent claim from another host', async (t) => {
  const path = rootDirectory(t);
  await (await openRoot({ path })).close();
  const [boot, namespace] = [
    readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    execFileSync('readlink', ['/proc/self/ns/pid'], { encoding: 'utf8' }).trim(),
  ];
  const claim = { pid: process.pid, since: '2026-01-01T00:00:00Z', started: '1', host: hostname() };
  const write = (name: string, extra: object) =>
    writeFileSync(join(path, 'owner', name), JSON.stringify({ ...claim, ...extra }));
  write('reused.json', { namespace: `${boot} ${namespace}` });
  write('elsewhere.json', { namespace: 'another', host: 'another-host' });
  const root = await openRoot({ path, heartbeatMs: 50 });
  assert.equal(readdirSync(join(path, 'owner')).length, 1);
  // What took the root over must stop this owner before its next visible step.
  rmSync(join(path, 'owner', readdirSync(join(path, 'owner'))[0] ?? ''));
  await assert.rejects(deploy(root, orders1), { code: 'root-lost' });
  await root.close();
});

test('works for a user who is not root', { skip: process.getuid?.() !== 0 }, async (t) => {
  const parent = rootDirectory(t);
  execFileSync('chmod', ['755', parent]);
  const path = join(parent, 'root');
  mkdirSync(path);
  chownSync(path, 65534, 65534);
  const { code } = await runToEnd(path, '0', { uid: 65534 });
  assert.equal(code, 0);
  assert.equal(await versionServed(path), '2.0.0');
});

test('leaves the last generation and an empty staging when the disk is full', async (t) => {
  const path = temporaryDirectory(t, 'full');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') throw error;
    return t.skip('no tmpfs can be mounted here');
  }
  try {
    const root = await openRoot({ path });
    await deploy(root, orders1, products);
    const large = makeModule('large', '1.0.0', {
      'a.bin': 'a'.repeat(600_000),
      'b.bin': 'b'.repeat(600_000),
    });
    await assert.rejects(root.stage(large.pin, filesOf(large), 'test'), {
      code: 'disk-full',
      exitCode: 3,
      hint: 'Free space or enlarge the volume.',
    });
    assert.deepEqual(readdirSync(join(path, 'staging')), []);
    assert.equal(await versionServed(path), '1.0.0');
    await deploy(root, orders2);
    assert.equal(await versionServed(path), '2.0.0');
    await root.close();
  } finally {
    execFileSync('umount', [path]);
  }
});
