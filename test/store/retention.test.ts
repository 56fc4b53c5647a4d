import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRoot } from '../../src/store/root.ts';
import { deploy, makeModule, rootDirectory } from './support.ts';

const hour = 3600 * 1000;
const first = makeModule('orders', '1.0.0');
const second = makeModule('orders', '2.0.0');
const start = Date.parse('2026-03-01T12:00:00Z');

test('keeps what was just switched out although the clock was a day behind then', async (t) => {
  let time = start;
  const path = rootDirectory(t);
  const now = () => new Date(time);
  const root = await openRoot({ path, now, keepGenerations: 1, retainForMs: hour });
  const old = await deploy(root, first);
  time = start - 24 * hour;
  await deploy(root, second);
  time = start + hour / 2;
  assert.deepEqual((await root.collectGarbage()).generations, []);
  time = start + 2 * hour;
  assert.deepEqual((await root.collectGarbage()).generations, [old.number]);
  await root.close();
});

for (const [what, damage] of [
  ['was deleted', (path: string) => rmSync(path)],
  ['is garbage', (path: string) => writeFileSync(path, '{"generations":{"1":{"shown_at":""}}}')],
] as const) {
  test(`keeps what may just have been switched out when switches.json ${what}`, async (t) => {
    let time = start;
    const path = rootDirectory(t);
    const options = { path, now: () => new Date(time), keepGenerations: 1, retainForMs: hour };
    let root = await openRoot(options);
    const old = await deploy(root, first);
    const current = await deploy(root, second);
    await root.close();
    damage(join(path, 'switches.json'));
    root = await openRoot(options);
    assert.deepEqual((await root.collectGarbage()).generations, []);
    time += 2 * hour;
    assert.deepEqual((await root.collectGarbage()).generations, [old.number]);
    assert.equal((await root.current())?.number, current.number);
    await root.close();
  });
}
