import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lchownSync, lstatSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openRoot } from '../../src/store/root.ts';
import { onEnd } from '../support/cleanup.ts';
import { mountOverlay, mountTmpfs } from '../support/mount.ts';
import { next } from './in-place-process.ts';
import {
  after,
  assertTidy,
  bake,
  bakedOrders,
  before,
  build,
  digestsOf,
  fileSystems,
  modulesIn,
  orders1,
  orders2,
  preparedRoots,
  products,
} from './in-place-support.ts';
import { deploy, makeModule, openTestRoot, rootDirectory } from './support.ts';

/** Fails at one call (or, for a disk that stays broken, at each from there on) while it is armed. */
function createFault() {
  let left = 0;
  let stays = false;
  let armed = false;
  const reached: string[] = [];
  return {
    fault: (point: string) => {
      if (!armed) return;
      reached.push(point);
      left--;
      if (left === 0 || (left < 0 && stays)) throw new Error(`no ${point}`);
    },
    arm: (at: number, options: { stays?: boolean } = {}) => {
      left = at;
      stays = options.stays ?? false;
      armed = true;
    },
    disarm: () => {
      armed = false;
    },
    /** Whether the call to fail at was reached. */
    hasFailed: () => left <= 0,
    reached,
  };
}

for (const [name, make] of Object.entries(fileSystems)) {
  describe(`in place on ${name}`, { concurrency: 2 }, () => {
    test('a failure at any step restores every module', async (t) => {
      const copyRoot = await preparedRoots(t);
      const reached: string[] = [];
      const ends = { old: 0, new: 0 };
      for (let at = 1; ; at++) {
        const inPlace = make(t, ...before);
        if (inPlace === undefined) return;
        const fault = createFault();
        const root = await openRoot({ path: copyRoot(), inPlace, fault: fault.fault });
        fault.arm(at);
        const error = await root.switchTo(next).catch((reason) => reason);
        fault.disarm();
        const step = `step ${at}, ${fault.reached[at - 1]}`;
        const isNew = (await root.current())?.number === next.number;
        if (!isNew) assert.match(error.message, /no /, step);
        assert.deepEqual(await modulesIn(inPlace), digestsOf(...(isNew ? after : before)), step);
        assert.deepEqual([...(await root.findDrift('content'))], [], step);
        await root.switchTo(next);
        assert.deepEqual(await modulesIn(inPlace), digestsOf(...after), step);
        assertTidy(inPlace);
        await root.close();
        if (!fault.hasFailed()) break;
        ends[isNew ? 'new' : 'old']++;
        reached.push(...fault.reached.slice(at - 1, at));
      }
      assert.ok(ends.old > 20 && ends.new > 3, JSON.stringify(ends));
      assert.equal(reached.includes('complete a backup'), name === 'overlayfs');
    });

    test('what cannot be put back on a broken disk is put back at the next start', async (t) => {
      const copyRoot = await preparedRoots(t);
      const codes = new Set<string>();
      for (let at = 1; ; at++) {
        const inPlace = make(t, ...before);
        if (inPlace === undefined) return;
        const path = copyRoot();
        const fault = createFault();
        const broken = await openRoot({ path, inPlace, fault: fault.fault });
        fault.arm(at, { stays: true });
        await broken.switchTo(next).catch(({ code }) => codes.add(code));
        fault.disarm();
        await broken.close();
        if (!fault.hasFailed()) break;
        const root = await openRoot({ path, inPlace });
        const modules = (await root.current())?.number === next.number ? after : before;
        assert.deepEqual(await modulesIn(inPlace), digestsOf(...modules), `step ${at}`);
        assertTidy(inPlace);
        await root.close();
      }
      assert.ok(codes.has('modules-dir-not-restored'), [...codes].join());
    });
  });
}

/** An overlay with a module of somebody else's user, with a link in it, that an image bakes. */
function mountBaked(t: TestContext): string | undefined {
  return mountOverlay(t, (lower) => {
    bake(lower, bakedOrders);
    symlinkSync('module.json', join(lower, 'Orders/link'));
    lchownSync(join(lower, 'Orders/old/b.php'), 1234, 1234);
  });
}

test('what was copied to a backup comes back with its owner, mode, time and links', async (t) => {
  const facts = (inPlace: string) =>
    ['', 'old', 'old/b.php', 'link'].map((path) => {
      const { uid, gid, mode, mtime } = lstatSync(join(inPlace, 'Orders', path));
      return { path, uid, gid, mode, mtime: path === 'link' ? null : mtime.toISOString() };
    });
  let restored = 0;
  const copyRoot = await preparedRoots(t);
  for (const point of ['delete an old file', 'delete the old directories', 'put a module in']) {
    const inPlace = mountBaked(t);
    if (inPlace === undefined) return;
    const found = facts(inPlace);
    const fault = (reached: string) => {
      if (reached === point && restored++ === 0) throw new Error(`no ${point}`);
    };
    const root = await openTestRoot(t, { path: copyRoot(), inPlace, fault });
    await assert.rejects(root.switchTo(next), /no /);
    assert.deepEqual(facts(inPlace), found, point);
    await root.switchTo(next);
    restored = 0;
  }
});

test('a module directory that is a mount point of its own is emptied and filled', async (t) => {
  const inPlace = mountTmpfs(t);
  if (inPlace === undefined) return;
  bake(inPlace, products);
  const place = join(inPlace, 'Orders');
  mkdirSync(place);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', place]);
  onEnd(t, () => execFileSync('umount', [place]));
  const device = lstatSync(place).dev;
  const { fault, arm, disarm, hasFailed } = createFault();
  const root = await openTestRoot(t, { inPlace, fault });
  const first = await deploy(root, orders1, products);
  const second = await build(root, orders2, products);
  for (let at = 1; ; at++) {
    arm(at);
    await root.switchTo(second).catch(() => {});
    disarm();
    if (!hasFailed()) break;
    const isNew = (await root.current())?.number === second.number;
    assert.deepEqual(await modulesIn(inPlace), digestsOf(isNew ? orders2 : orders1, products));
    await root.switchTo(first);
  }
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders2, products));
  assert.equal(lstatSync(place).dev, device);
});

test('a full disk leaves every module as it was', async (t) => {
  const inPlace = mountTmpfs(t, '2m');
  if (inPlace === undefined) return;
  bake(inPlace, bakedOrders);
  const root = await openTestRoot(t, { inPlace });
  await deploy(root, orders1, products);
  const large = makeModule('large', '1.0.0', {
    'a.bin': 'a'.repeat(1_500_000),
    'b.bin': 'b'.repeat(1_500_000),
  });
  await assert.rejects(deploy(root, orders2, large), {
    code: 'disk-full',
    exitCode: 3,
    hint: 'Free space or enlarge the volume.',
  });
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
  assertTidy(inPlace);
  assert.equal((await root.current())?.lock.modules.get('orders')?.version, '1.0.0');
  await deploy(root, orders2);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders2));
});

test('a full upper layer leaves what is baked below as it was', async (t) => {
  const content = 'a'.repeat(1_500_000);
  const bakedStock = makeModule('stock', '0.9.0', { 'a.bin': content, 'b.bin': content });
  const inPlace = mountOverlay(t, (lower) => bake(lower, bakedStock), '4m');
  if (inPlace === undefined) return;
  const root = await openTestRoot(t, { inPlace });
  // The new one fits, the backup of the old one beside it does not, and orders was moved before.
  const stock = makeModule('stock', '1.0.0', { 'a.bin': content });
  await assert.rejects(deploy(root, orders1, stock), { code: 'disk-full' });
  assert.deepEqual(await modulesIn(inPlace), digestsOf(bakedStock));
  assertTidy(inPlace);
  await deploy(root, orders1);
  assert.deepEqual(await modulesIn(inPlace), { ...digestsOf(bakedStock), ...digestsOf(orders1) });
});

test('refuses a read-only directory, and is ready again when it is not', async (t) => {
  const inPlace = mountTmpfs(t);
  if (inPlace === undefined) return;
  bake(inPlace, bakedOrders);
  const path = rootDirectory(t);
  execFileSync('mount', ['-o', 'remount,ro', inPlace]);
  const refusal = { code: 'disk-read-only', exitCode: 3, message: new RegExp(inPlace) };
  await assert.rejects(openRoot({ path, inPlace }), refusal);
  execFileSync('mount', ['-o', 'remount,rw', inPlace]);
  const root = await openTestRoot(t, { path, inPlace });
  await deploy(root, orders1);
  execFileSync('mount', ['-o', 'remount,ro', inPlace]);
  await assert.rejects(deploy(root, orders2), refusal);
  execFileSync('mount', ['-o', 'remount,rw', inPlace]);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1));
});
