import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openRoot } from '../../src/store/root.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  assertTidy,
  bakedOrders,
  build,
  dark1,
  dark2,
  digestsOf,
  fileSystems,
  mobile,
  modulesIn,
  orders1,
  orders2,
  products,
} from './in-place-support.ts';
import { deploy, makeModule, openTestRoot } from './support.ts';

/** A root and the modules directory it keeps, on the usual disk. */
async function openBoth(t: TestContext, ...baked: Parameters<typeof deploy>[1][]) {
  const inPlace = fileSystems.usualDisk(t, ...baked);
  return { inPlace, root: await openTestRoot(t, { inPlace }) };
}

for (const [name, make] of Object.entries(fileSystems)) {
  describe(`in place on ${name}`, { concurrency: 2 }, () => {
    test('installs, upgrades, downgrades and removes, leaving what is foreign', async (t) => {
      const inPlace = make(t, bakedOrders);
      if (inPlace === undefined) return;
      const root = await openTestRoot(t, { inPlace });
      for (const modules of [
        [orders1, products, dark1],
        [orders2, products, dark1],
        [orders2, dark2, mobile],
        [orders1, dark1],
        [orders1],
        [orders2, products, dark2],
      ]) {
        await deploy(root, ...modules);
        assert.deepEqual(await modulesIn(inPlace), digestsOf(...modules));
        assert.deepEqual([...(await root.findDrift('links'))], []);
        assert.deepEqual([...(await root.findDrift('content'))], []);
        assertTidy(inPlace);
      }
      await deploy(root, orders1);
      assert.ok(!existsSync(join(inPlace, 'themes')), 'an empty parent goes with its last module');
    });

    test('adopts what is baked as pinned, and replaces what is not', async (t) => {
      const inPlace = make(t, bakedOrders, products);
      if (inPlace === undefined) return;
      const before = lstatSync(join(inPlace, 'Products'));
      const root = await openTestRoot(t, { inPlace });
      await deploy(root, orders1, products);
      assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
      assert.equal(lstatSync(join(inPlace, 'Products')).ino, before.ino);
      assert.equal(statSync(join(inPlace, 'Products/p.php')).mode & 0o777, 0o644, 'not written');
      await deploy(root, orders1);
      assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1));
    });

    test('repairs a changed, an added and a deleted file and a lost module', async (t) => {
      const inPlace = make(t, products);
      if (inPlace === undefined) return;
      const root = await openTestRoot(t, { inPlace });
      await deploy(root, orders1, products);
      const place = join(inPlace, 'Orders');
      const damages: Record<string, () => void> = {
        'src/deep/a.php was changed': () => writeFileSync(join(place, 'src/deep/a.php'), 'evil'),
        'evil.php was added': () => writeFileSync(join(place, 'evil.php'), 'x'),
        'module.json was deleted': () => unlinkSync(join(place, 'module.json')),
      };
      for (const [words, damage] of Object.entries(damages)) {
        damage();
        for (const level of ['links', 'content'] as const) {
          assert.deepEqual([...(await root.findDrift(level))], [['orders', `${place}: ${words}`]]);
        }
        await deploy(root, orders1, products);
        assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products), words);
        assert.deepEqual([...(await root.findDrift('links'))], []);
      }
      rmSync(place, { recursive: true });
      assert.deepEqual([...(await root.findDrift('links'))], [['orders', `${place} is missing`]]);
      symlinkSync('/etc', place);
      assert.deepEqual(
        [...(await root.findDrift('links'))],
        [['orders', `${place} is no directory`]],
      );
      await deploy(root, orders1, products);
      assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
    });
  });
}

test('sees a change that kept size and time at level content, and repairs it', async (t) => {
  const { root, inPlace } = await openBoth(t);
  await deploy(root, orders1);
  const file = join(inPlace, 'Orders/src/deep/a.php');
  const { atime, mtime } = statSync(file);
  writeFileSync(file, 'eno');
  utimesSync(file, atime, mtime);
  assert.deepEqual(
    [...(await root.findDrift('content'))],
    [['orders', `${join(inPlace, 'Orders')}: src/deep/a.php was changed`]],
  );
  await deploy(root, orders1);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1));
});

test('a touched file is no drift', async (t) => {
  const { root, inPlace } = await openBoth(t);
  await deploy(root, orders1);
  utimesSync(join(inPlace, 'Orders/module.json'), 1, 1);
  assert.deepEqual([...(await root.findDrift('links'))], []);
});

test('mends a directory that was never kept, or came back with a new container', async (t) => {
  const path = temporaryDirectory(t, 'root');
  const plain = await openRoot({ path });
  await deploy(plain, orders1, products);
  await plain.close();
  const inPlace = fileSystems.usualDisk(t, bakedOrders, products);
  const root = await openTestRoot(t, { path, inPlace });
  assert.deepEqual([...(await root.findDrift('links')).keys()], ['orders']);
  await deploy(root, orders1, products);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
});

test('installs real files that any user reads, under a umask of 077', async (t) => {
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  const { root, inPlace } = await openBoth(t);
  await deploy(root, orders1, dark1);
  const modes = (path: string) => (lstatSync(join(inPlace, path)).mode & 0o777).toString(8);
  assert.equal(modes('Orders'), '755');
  assert.equal(modes('Orders/src/deep'), '755');
  assert.equal(modes('Orders/module.json'), '444');
  assert.equal(modes('Orders/run.sh'), '555');
  assert.equal(modes('themes'), '755');
  const version = await root.versionPath(orders1.pin);
  const stored = statSync(join(version ?? '', 'module.json'));
  assert.notEqual(statSync(join(inPlace, 'Orders/module.json')).ino, stored.ino);
});

test('goes back to an older generation, and to the one that is shown', async (t) => {
  const { root, inPlace } = await openBoth(t);
  const first = await deploy(root, orders1, products);
  await deploy(root, orders2);
  await root.switchTo(first);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
  rmSync(join(inPlace, 'Orders'), { recursive: true });
  await root.switchTo(first);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1, products));
});

test('a module takes the place of a directory of modules, and the other way round', async (t) => {
  const { root, inPlace } = await openBoth(t);
  const outer = makeModule('outer', '1.0.0', { 'module.json': '1' }, 'themes');
  for (const modules of [[dark1], [outer], [dark1], [outer]]) {
    await deploy(root, ...modules);
    assert.deepEqual([...(await root.findDrift('content'))], []);
  }
  assert.deepEqual(readdirSync(join(inPlace, 'themes')), ['module.json']);
});

test('refuses places that cannot be, naming what was found', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'root');
  const file = join(directory, 'file');
  writeFileSync(file, '');
  mkdirSync(join(path, 'inside'), { recursive: true });
  const cases: [string, string, RegExp][] = [
    ['modules', 'modules-dir-not-absolute', /modules is relative/],
    [file, 'modules-dir-not-a-directory', /file is a file, expected a directory/],
    [join(directory, 'none'), 'modules-dir-missing', /none is not there/],
    [path, 'modules-dir-overlap', /lie one inside the other/],
    [join(path, 'inside'), 'modules-dir-overlap', /lie one inside the other/],
  ];
  for (const [inPlace, code, message] of cases) {
    await assert.rejects(openRoot({ path, inPlace }), { code, message, exitCode: 2 });
  }
  await (await openRoot({ path })).close();
});

test('refuses a lock that has a module where the root is, and moves nothing', async (t) => {
  const inPlace = fileSystems.usualDisk(t, bakedOrders);
  const root = await openTestRoot(t, { path: join(inPlace, 'Data/root'), inPlace });
  const data = makeModule('data', '1.0.0', undefined, 'Data');
  await assert.rejects(deploy(root, orders1, data), { code: 'modules-dir-overlap', exitCode: 1 });
  assert.ok(existsSync(join(inPlace, 'Orders/old/b.php')));
  assert.equal(await root.current(), undefined);
});

test('refuses a parent of a module that is a link, and moves nothing', async (t) => {
  const { root, inPlace } = await openBoth(t, bakedOrders);
  symlinkSync('Foreign', join(inPlace, 'themes'));
  await assert.rejects(deploy(root, orders1, dark1), {
    code: 'modules-dir-parent',
    message: /themes is a symbolic link, expected a directory/,
  });
  assert.ok(existsSync(join(inPlace, 'Orders/old/b.php')));
  assert.deepEqual(readdirSync(join(inPlace, 'Foreign')), ['keep.txt']);
});

test('refuses a directory that another root keeps, and state it cannot read', async (t) => {
  const { root, inPlace } = await openBoth(t);
  const path = temporaryDirectory(t, 'root');
  await assert.rejects(openRoot({ path, inPlace }), { code: 'root-owned', exitCode: 3 });
  await root.close();
  writeFileSync(join(inPlace, '.ringlock/state.json'), '{"format": 2}');
  await assert.rejects(openRoot({ path, inPlace }), { code: 'modules-dir-state-damaged' });
  rmSync(join(inPlace, '.ringlock/state.json'));
  await (await openRoot({ path, inPlace })).close();
});

test('a version damaged in the store is not copied, and is staged anew', async (t) => {
  const { root, inPlace } = await openBoth(t);
  await deploy(root, orders1);
  const next = await build(root, orders2);
  const version = (await root.versionPath(orders2.pin)) ?? '';
  chmodSync(join(version, 'module.json'), 0o644);
  writeFileSync(join(version, 'module.json'), 'evil');
  await assert.rejects(root.switchTo(next), { code: 'version-missing', message: /was changed/ });
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders1));
  assert.equal(readFileSync(join(root.path, 'current/Orders/module.json'), 'utf8'), '1');
  await deploy(root, orders2);
  assert.deepEqual(await modulesIn(inPlace), digestsOf(orders2));
});
