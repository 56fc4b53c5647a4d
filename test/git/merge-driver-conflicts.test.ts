import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LockCommand } from '../../src/commands/lock.ts';
import { favouredByArguments } from '../../src/git/merge/favoured-side.ts';
import { cliPath } from '../support/cli.ts';
import { runCommand } from '../support/command.ts';
import {
  createMergingPlatform,
  installDriver,
  lockOf,
  pin,
  release,
} from '../support/merging-platform.ts';
import type { Platform } from '../support/platform.ts';
import { createRepository } from '../support/repository.ts';

const edge = 'manifests/edge.lock.json';
const ordersIn = (platform: Platform, ring: string) =>
  lockOf(platform, ring).modules.orders.version;

/** Orders 1.0.1 and 1.0.2 one after the other, and a hotfix 0.9.9 that neither descends from. */
async function withPins(t: Parameters<typeof createMergingPlatform>[0]): Promise<Platform> {
  const platform = await createMergingPlatform(t);
  platform.git('branch', 'start');
  await release(platform, 'Orders', '1.0.1');
  await release(platform, 'Orders', '1.0.2');
  platform.git('tag', 'newest');
  platform.git('checkout', '-qb', 'hotfix', 'start');
  await release(platform, 'Orders', '1.0.9');
  platform.git('checkout', '-q', 'main');
  for (const [branch, revision] of [
    ['older', 'newest~1'],
    ['newer', 'newest'],
    ['fixed', 'hotfix'],
  ] as const) {
    platform.git('checkout', '-qb', branch, 'main');
    await pin(platform, 'edge', revision);
  }
  return platform;
}

test('two pins of one module', async (t) => {
  const platform = await withPins(t);
  await t.test(
    'a pinned ring takes the greater version that descends, whichever side has it',
    async () => {
      for (const [ours, theirs] of [
        ['older', 'newer'],
        ['newer', 'older'],
      ] as const) {
        platform.git('checkout', '-q', '--detach', ours);
        platform.git('merge', '-q', '--no-edit', theirs);
        assert.equal(ordersIn(platform, 'edge'), '1.0.2');
      }
      // What only the merged commit leads to: no ref, only git's own word for what it merges.
      platform.git('checkout', '-q', '--detach', 'newer');
      const unnamed = await release(platform, 'Orders', '1.0.3', ['canary', 'edge']);
      platform.git('checkout', '-q', '--detach', 'older');
      platform.git('merge', '-q', '--no-edit', unnamed);
      assert.equal(ordersIn(platform, 'edge'), '1.0.3');
    },
  );

  await t.test(
    'a version that does not descend is a conflict that names both, and keeps every field of both',
    async () => {
      platform.git('checkout', '-q', 'newer');
      const merged = platform.tryGit('-c', 'merge.conflictStyle=zdiff3', 'merge', 'fixed');
      assert.equal(merged.status, 1);
      assert.match(
        merged.stderr,
        /edge\.lock\.json has conflicts:\n {2}orders: 1\.0\.2 on our side, 1\.0\.9 on theirs/,
      );
      assert.equal(platform.git('diff', '--name-only', '--diff-filter=U'), edge);
      const text = platform.read(edge);
      assert.match(
        text,
        /^<{7} ours\n {4}"orders": \{\n[^<>]*^\|{7} base\n[^<>]*"1\.0\.0"[^<>]*^={7}\n[^<>]*^>{7} fixed\n/m,
      );
      assert.equal(text.match(/^<{7}/gm)?.length, 1);
      const refused = await runCommand(platform.path, LockCommand, ['lock', '--ring', 'edge']);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /orders: 1\.0\.2 on our side, 1\.0\.9 on theirs/);
      // Whoever keeps a side has a right lock.
      platform.write({ [edge]: text.replace(/<{7}.*\n/, '').replace(/\|{7}[\s\S]*?>{7}.*\n/, '') });
      assert.deepEqual(JSON.parse(platform.read(edge)), lockOf(platform, 'edge', 'newer'));
      platform.git('merge', '--abort');
      platform.git('checkout', '-qb', 'rebased', 'fixed');
      platform.git('rebase', '-q', '-X', 'theirs', 'newer');
      assert.equal(ordersIn(platform, 'edge'), '1.0.9');
    },
  );

  await t.test(
    'without ringlock, or with one that breaks, git merges the text: nothing is lost',
    async () => {
      const broken = join(platform.path, '.git/broken.sh');
      platform.write({ '.git/broken.sh': '#!/bin/sh\nexit 1\n' });
      chmodSync(broken, 0o755);
      platform.git('checkout', '-q', 'newer');
      for (const program of ['/nowhere/ringlock', broken]) {
        platform.git('config', 'ringlock.program', program);
        const { status, stderr } = platform.tryGit('merge', 'fixed');
        assert.equal(status, 1, stderr);
        const text = platform.read(edge);
        for (const side of ['newer', 'fixed']) {
          const { sha256, tree } = lockOf(platform, 'edge', side).modules.orders;
          assert.ok(text.includes(sha256) && text.includes(tree), side);
        }
        assert.match(text, /^<{7} ours$/m);
        assert.equal(platform.git('diff', '--name-only', '--diff-filter=U'), edge);
        platform.git('merge', '--abort');
      }
      platform.git('config', 'ringlock.program', cliPath);
    },
  );

  await t.test('the base of a criss-cross merge has no conflict markers', async () => {
    for (const [branch, other] of [
      ['newer', 'fixed'],
      ['fixed', 'newer'],
    ] as const) {
      platform.git('checkout', '-qb', `${branch}-cross`, branch);
      platform.git('merge', '-q', '--no-edit', '-Xours', `${other}~0`);
      assert.equal(ordersIn(platform, 'edge'), branch === 'newer' ? '1.0.2' : '1.0.9');
    }
    platform.git('checkout', '-q', 'newer-cross');
    await release(platform, 'Products', '1.0.1', ['edge']);
    const { stderr } = platform.tryGit('merge', 'fixed-cross');
    assert.match(stderr, /orders: 1\.0\.2 on our side, 1\.0\.9 on theirs/);
    assert.doesNotMatch(stderr, /line by line/);
    assert.equal(stderr.match(/has conflicts/g)?.length, 1, stderr);
    assert.equal(platform.read(edge).match(/^<{7}/gm)?.length, 1);
  });
});

test('what is no lock of this format is merged line by line', async (t) => {
  const platform = createRepository(t);
  await installDriver(platform);
  const reference = (orders: string, products: string) =>
    `{\n  "platform": "2.0.0",\n  "generated_at": "2026-01-01",\n  "modules": {\n    "orders": { "version": "${orders}", "sha256": "sha256:${'0'.repeat(64)}" },\n\n\n\n    "products": { "version": "${products}", "sha256": "sha256:${'0'.repeat(64)}" }\n  }\n}\n`;
  platform.commit('Reference', { [edge]: reference('1.0.0', '1.0.0') });
  platform.git('checkout', '-qb', 'topic');
  platform.commit('Theirs', { [edge]: reference('1.0.0', '1.0.1') });
  platform.git('checkout', '-q', 'main');
  platform.commit('Ours', { [edge]: reference('1.0.1', '1.0.0') });
  platform.git('merge', '-q', '--no-edit', 'topic');
  assert.equal(platform.read(edge), reference('1.0.1', '1.0.1'));
  platform.commit('Ours again', { [edge]: reference('1.0.2', '1.0.0') });
  platform.git('checkout', '-q', 'topic');
  platform.commit('No JSON', { [edge]: 'not a lock\n' });
  const { status, stderr } = platform.tryGit('merge', 'main');
  assert.equal(status, 1);
  assert.match(stderr, /edge\.lock\.json was merged line by line, with conflicts/);
  assert.match(platform.read(edge), /^<{7} [\s\S]*not a lock\n={7}\n/m);
});

test('the side that -X prefers is read from git’s arguments', () => {
  for (const [args, side] of [
    ['merge -Xours topic', 'ours'],
    ['merge -X theirs topic', 'theirs'],
    ['rebase --strategy-option=theirs -X ours main', 'ours'],
    ['merge --strategy-option theirs topic', 'theirs'],
    ['merge -m -Xours topic', undefined],
    ['merge -X ignore-all-space topic', undefined],
    ['checkout -m -- -Xours', undefined],
  ] as const) {
    assert.equal(favouredByArguments(args.split(' ')), side, args);
  }
});
