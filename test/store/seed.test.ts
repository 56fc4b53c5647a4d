import assert from 'node:assert/strict';
import { cpSync, existsSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatLock } from '../../src/repo/lock.ts';
import { buildSeedGeneration, readSeed } from '../../src/store/seed.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openTestRoot } from './support.ts';

/** The sample platform's own canary lock and modules. */
function bake(t: Parameters<typeof temporaryDirectory>[0]): string {
  const seed = temporaryDirectory(t, 'seed');
  const project = join(import.meta.dirname, '../..');
  cpSync(join(project, 'modules'), join(seed, 'modules'), { recursive: true });
  cpSync(join(project, 'manifests/canary.lock.json'), join(seed, 'lock.json'));
  writeFileSync(join(seed, 'seed.json'), JSON.stringify({ commit: 'a'.repeat(40) }));
  return seed;
}

test('starts from a baked lock and its modules as generation 0', async (t) => {
  const root = await openTestRoot(t);
  const seed = await readSeed(bake(t), 'canary');
  const generation = await buildSeedGeneration(root, seed, 'op');
  assert.equal(await root.current(), undefined);
  await root.switchTo(generation);
  assert.equal(readlinkSync(join(root.path, 'current')), 'generations/000000');
  const current = await root.current();
  assert.equal(current?.commit, 'a'.repeat(40));
  assert.equal(current && formatLock(current.lock), formatLock(seed.lock));
  assert.ok(existsSync(join(root.path, 'current/Orders/module.json')));
  assert.deepEqual([...(await root.findDrift('content'))], []);
});

test('refuses a seed whose bytes are not those of its lock', async (t) => {
  const root = await openTestRoot(t);
  const directory = bake(t);
  writeFileSync(join(directory, 'modules/Orders/CHANGELOG.md'), 'changed');
  const seed = await readSeed(directory, 'canary');
  await assert.rejects(buildSeedGeneration(root, seed, 'op'), { code: 'digest-mismatch' });
  rmSync(join(directory, 'modules/Orders'), { recursive: true });
  await assert.rejects(buildSeedGeneration(root, seed, 'op'), { code: 'seed-incomplete' });
  assert.equal(await root.current(), undefined);
});

test('says what a seed without a lock is missing', async (t) => {
  await assert.rejects(readSeed(temporaryDirectory(t), 'canary'), { code: 'seed-missing' });
});
