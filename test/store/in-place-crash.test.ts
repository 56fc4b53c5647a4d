import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openRoot } from '../../src/store/root.ts';
import { bundled } from '../support/bundle.ts';
import { next } from './in-place-process.ts';
import {
  after,
  assertTidy,
  before,
  digestsOf,
  fileSystems,
  modulesIn,
  orders2,
  preparedRoots,
} from './in-place-support.ts';
import { deploy } from './support.ts';

const program = bundled(join(import.meta.dirname, 'in-place-process.ts'));

/** @returns where the process was killed, or undefined when it came to its end before that */
async function killAt(
  path: string,
  inPlace: string,
  at: string,
  options: { readonly uid?: number } = {},
): Promise<string | undefined> {
  const child = spawn(process.execPath, [program(), path, inPlace, at], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    ...options,
  });
  let point = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (point += chunk));
  const [code, signal] = await once(child, 'close');
  assert.ok(code === 0 || signal === 'SIGKILL', `ends with ${code ?? signal}`);
  return signal === 'SIGKILL' ? point : undefined;
}

/** Opens what a killed process left: old or new as a whole, as `current` says, and ready for more. */
async function requireRecovered(path: string, inPlace: string, step: string): Promise<boolean> {
  const root = await openRoot({ path, inPlace });
  try {
    const number = (await root.current())?.number;
    const modules = number === next.number ? after : before;
    assert.deepEqual(await modulesIn(inPlace), digestsOf(...modules), step);
    assert.deepEqual([...(await root.findDrift('links'))], [], step);
    assert.deepEqual([...(await root.findDrift('content'))], [], step);
    assertTidy(inPlace);
    await deploy(root, orders2);
    assert.deepEqual(await modulesIn(inPlace), digestsOf(orders2), step);
    return number === next.number;
  } finally {
    await root.close();
  }
}

for (const name of ['usualDisk', 'overlayfs'] as const) {
  const make = fileSystems[name];
  test(`killed at any step on ${name}, ends old or new as a whole and goes on`, async (t) => {
    const copyRoot = await preparedRoots(t);
    const seen = { old: 0, new: 0 };
    const points = new Set<string>();
    let at = 0;
    let hasEnded = false;
    const sweep = async () => {
      while (!hasEnded) {
        const step = ++at;
        const inPlace = make(t, ...before);
        if (inPlace === undefined) return;
        const path = copyRoot();
        const point = await killAt(path, inPlace, String(step));
        if (point === undefined) hasEnded = true;
        const isNew = await requireRecovered(path, inPlace, `step ${step}, ${point}`);
        if (point === undefined) return assert.ok(isNew);
        points.add(point);
        seen[isNew ? 'new' : 'old']++;
      }
    };
    await Promise.all([sweep(), sweep()]);
    if (at === 2) return; // skipped
    assert.ok(seen.old > 20 && seen.new > 3, JSON.stringify(seen));
    for (const point of ['put a module in', 'rename state.json', 'switch current']) {
      assert.ok(points.has(point), point);
    }
    assert.equal(points.has('delete an old file'), name === 'overlayfs');
  });
}

test('killed again at any step of putting back what was copied, it is put back', async (t) => {
  const copyRoot = await preparedRoots(t);
  const reached = new Set<string>();
  // Halfway through the deletion of a baked module, and with all new ones in place.
  for (const first of ['delete an old file#2', 'make the new current#1']) {
    for (let at = 1; ; at++) {
      const inPlace = fileSystems.overlayfs(t, ...before);
      if (inPlace === undefined) return;
      const path = copyRoot();
      assert.notEqual(await killAt(path, inPlace, first), undefined);
      const point = await killAt(path, inPlace, String(at));
      await requireRecovered(path, inPlace, `${first}, then step ${at}, ${point}`);
      // From there on it is the switch again.
      if (point === undefined || point === 'stage a module') break;
      reached.add(point);
    }
  }
  for (const point of ['put a module back', 'take a module out again', 'delete an old file']) {
    assert.ok(reached.has(point), [...reached].join());
  }
});

for (const name of ['usualDisk', 'overlayfs'] as const) {
  test(`works on ${name} for a user who is not root`, async (t) => {
    if (process.getuid?.() !== 0) return t.skip('not started as root');
    const inPlace = fileSystems[name](t, ...before);
    if (inPlace === undefined) return;
    const path = (await preparedRoots(t))();
    execFileSync('chown', ['-R', '65534:65534', path, inPlace]);
    if (name === 'overlayfs') execFileSync('chmod', ['755', dirname(inPlace)]);
    assert.equal(await killAt(path, inPlace, 'none', { uid: 65534 }), undefined);
    assert.deepEqual(await modulesIn(inPlace), digestsOf(...after));
    assert.equal(lstatSync(join(inPlace, 'Orders/module.json')).uid, 65534);
  });
}
