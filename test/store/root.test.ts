import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openRoot } from '../../src/store/root.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  deploy,
  digestByCoreutils,
  facts,
  filesOf,
  lockOf,
  makeModule,
  openTestRoot,
  rootDirectory,
} from './support.ts';

const orders1 = makeModule('orders', '1.0.0', {
  'module.json': '{}',
  'src/deep/a.php': 'a',
  'run.sh': '#!/bin/sh',
});
const orders2 = makeModule('orders', '1.1.0', { 'module.json': '{"v":2}', 'src/b.php': 'b' });
const dark = makeModule('dark', '1.0.0', { 'theme.css': 'x' }, 'themes/Dark');

test('lays modules out as the contract says', async (t) => {
  const root = await openTestRoot(t);
  await deploy(root, orders1, dark);
  assert.equal(readlinkSync(join(root.path, 'current')), 'generations/000001');
  const name = `1.0.0-${orders1.pin.sha256.slice(7, 19)}`;
  assert.equal(readlinkSync(join(root.path, 'current/Orders')), `../../versions/orders/${name}`);
  assert.equal(readFileSync(join(root.path, 'current/themes/Dark/theme.css'), 'utf8'), 'x');
  assert.equal(digestByCoreutils(join(root.path, 'current/Orders')), orders1.pin.sha256);
  const file = JSON.parse(
    readFileSync(join(root.path, 'current/.ringlock/generation.json'), 'utf8'),
  );
  assert.equal(file.generation, 1);
  assert.equal(file.commit, facts.commit);
  assert.equal((await root.current())?.lockDigest, file.lock_digest);
});

test('is readable by another user and writable by none, under a umask of 077', async (t) => {
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  const root = await openTestRoot(t);
  await deploy(root, orders1, dark);
  const modes = (path: string) => (statSync(join(root.path, path)).mode & 0o777).toString(8);
  assert.equal(modes('versions'), '755');
  assert.equal(modes('versions/orders'), '755');
  assert.equal(modes('generations'), '755');
  assert.equal(modes('current'), '555');
  assert.equal(modes('current/themes'), '555');
  assert.equal(modes('current/Orders'), '555');
  assert.equal(modes('current/Orders/src/deep'), '555');
  assert.equal(modes('current/Orders/module.json'), '444');
  assert.equal(modes('current/Orders/run.sh'), '555');
  assert.equal(modes('current/.ringlock/lock.json'), '444');
});

test('refuses content with another digest than pinned, and leaves nothing of it', async (t) => {
  const root = await openTestRoot(t);
  await assert.rejects(root.stage(orders1.pin, filesOf(orders2), 'object-store'), {
    code: 'digest-mismatch',
    exitCode: 1,
    message: `orders 1.0.0 from object-store has the digest ${orders2.pin.sha256} (2 files), the lock pins ${orders1.pin.sha256}`,
  });
  assert.deepEqual(readdirSync(join(root.path, 'staging')), []);
  assert.deepEqual(readdirSync(join(root.path, 'versions')), []);
});

for (const [what, files] of Object.entries({
  'a path that climbs out': { '../../escape': 'x' },
  'an absolute path': { '/tmp/ringlock-escape': 'x' },
  'a git directory': { '.git/config': 'x' },
  'a file that is also a directory': { a: 'x', 'a/b': 'x' },
  'a directory that is also a file': { 'a/b': 'x', a: 'x' },
})) {
  test(`refuses ${what} from a source, and leaves nothing of it`, async (t) => {
    const root = await openTestRoot(t);
    const module = makeModule('evil', '1.0.0', files);
    await assert.rejects(root.stage(module.pin, filesOf(module), 'mirror'), {
      code: 'refused-path',
    });
    assert.deepEqual(readdirSync(join(root.path, 'staging')), []);
    assert.deepEqual(readdirSync(root.path).sort(), [
      'generations',
      'owner',
      'root.json',
      'staging',
      'versions',
    ]);
  });
}

test('refuses to build a generation of a version it does not have', async (t) => {
  const root = await openTestRoot(t);
  await assert.rejects(root.buildGeneration(lockOf(orders1), facts), { code: 'version-missing' });
  assert.deepEqual(readdirSync(join(root.path, 'generations')), []);
});

test('refuses two modules in one directory, or one inside another', async (t) => {
  const root = await openTestRoot(t);
  for (const directory of ['Orders', 'Orders/Inner', '.ringlock']) {
    const other = makeModule('other', '1.0.0', undefined, directory);
    await assert.rejects(deploy(root, orders1, other), { code: 'directory-clash' });
  }
  assert.equal(await root.current(), undefined);
});

for (const link of ['symlink', 'hardlink'] as const) {
  const damages: Record<string, (version: string, generation: string) => void> = {
    'src/deep/a.php was changed': (version) => {
      chmodSync(join(version, 'src/deep/a.php'), 0o644);
      writeFileSync(join(version, 'src/deep/a.php'), 'changed');
    },
    'new.php was added': (_, generation) => {
      chmodSync(join(generation, 'Orders'), 0o755);
      writeFileSync(join(generation, 'Orders/new.php'), 'x');
    },
    'module.json was deleted': (_, generation) => {
      chmodSync(realpathSync(join(generation, 'Orders')), 0o755);
      unlinkSync(join(generation, 'Orders/module.json'));
    },
  };
  for (const [words, damage] of Object.entries(damages)) {
    test(`repairs at once when ${words} (${link})`, async (t) => {
      const root = await openTestRoot(t, { link });
      await deploy(root, orders1, dark);
      const version = await root.versionPath(orders1.pin);
      assert.ok(version);
      assert.deepEqual([...(await root.findDrift('content'))], []);
      const current = realpathSync(join(root.path, 'current'));
      damage(version, current);
      assert.deepEqual([...(await root.findDrift('content'))], [['orders', words]]);
      const { path } = await deploy(root, orders1, dark);
      assert.equal(digestByCoreutils(join(path, 'Orders')), orders1.pin.sha256);
      assert.deepEqual([...(await root.findDrift('content'))], []);
      // Going back to the generation before must not bring the damage back.
      await root.switchTo({ number: 1, path: current });
      if (link === 'symlink' || words.startsWith('src')) {
        assert.equal(
          digestByCoreutils(join(root.path, 'current/Orders')),
          orders1.pin.sha256,
          'the generation before has the repaired version',
        );
      }
    });
  }
}

test('sees a replaced link, a foreign file and a deleted version by their links alone', async (t) => {
  const root = await openTestRoot(t);
  const drift = async () => Object.fromEntries(await root.findDrift('links'));
  const generation = await deploy(root, orders1, dark);
  chmodSync(generation.path, 0o755);
  unlinkSync(join(generation.path, 'Orders'));
  assert.deepEqual(await drift(), { orders: 'Orders is missing' });
  symlinkSync('/etc', join(generation.path, 'Orders'));
  assert.deepEqual(await drift(), { orders: 'Orders is a link to /etc' });
  unlinkSync(join(generation.path, 'Orders'));
  mkdirSync(join(generation.path, 'Orders'));
  writeFileSync(join(generation.path, 'note.txt'), 'x');
  assert.deepEqual(await drift(), {
    orders: 'Orders is not the link that was made',
    '.': 'note.txt was added',
  });
  await deploy(root, orders1, dark);
  assert.deepEqual(await drift(), {});
  const version = await root.versionPath(dark.pin);
  assert.ok(version);
  rmSync(version, { recursive: true });
  assert.match((await drift())['dark'] ?? '', /versions\/dark\/.* is missing$/);
  assert.equal(await root.hasVersion(dark.pin), false);
  await deploy(root, orders1, dark);
  assert.deepEqual(await drift(), {});
});

test('finds damage done while no reconciler ran before it uses a version again', async (t) => {
  const path = rootDirectory(t);
  const before = await openRoot({ path });
  await deploy(before, orders1);
  await deploy(before, orders2);
  const version = await before.versionPath(orders1.pin);
  await before.close();
  assert.ok(version);
  writeFileSync(join(version, 'module.json'), 'changed');
  const root = await openTestRoot(t, { path });
  assert.equal(await root.hasVersion(orders1.pin), false);
  await deploy(root, orders1);
  assert.equal(digestByCoreutils(join(root.path, 'current/Orders')), orders1.pin.sha256);
});

test('removes generations and versions by the rules, and nothing in use', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  const root = await openTestRoot(t, {
    keepGenerations: 2,
    retainForMs: 1000,
    now: () => new Date(now),
  });
  const versions = [1, 2, 3, 4, 5].map((n) => makeModule('orders', `1.0.${n}`));
  for (const module of versions) {
    await deploy(root, module, dark);
    now += 400;
  }
  // 000003 was left 400 + 400 ms ago, 000002 longer than a second ago.
  const first = await root.collectGarbage();
  assert.deepEqual(first.generations, [1, 2]);
  assert.deepEqual(
    first.versions,
    versions.slice(0, 2).map(({ pin }) => pin),
  );
  now += 10_000;
  assert.deepEqual((await root.collectGarbage()).generations, [3]);
  assert.deepEqual(readdirSync(join(root.path, 'generations')), ['000004', '000005']);
  assert.deepEqual([...(await root.findDrift('content'))], []);
  assert.equal((await deploy(root, dark)).number, 6);
});

test('restores a current that was deleted, and refuses a foreign one', async (t) => {
  const path = join(temporaryDirectory(t), 'a root, ünïcode');
  const first = await openRoot({ path });
  await deploy(first, orders1);
  await deploy(first, orders2);
  await first.close();
  mkdirSync(join(path, 'lost+found'));
  rmSync(join(path, 'current'));
  const second = await openRoot({ path });
  assert.equal((await second.current())?.number, 2);
  await second.close();
  for (const make of [
    () => symlinkSync('/srv/app', join(path, 'current')),
    () => mkdirSync(join(path, 'current')),
  ]) {
    rmSync(join(path, 'current'), { recursive: true });
    make();
    await assert.rejects(openRoot({ path }), { code: 'foreign-current' });
  }
  assert.ok(existsSync(join(path, 'lost+found')));
});

test('refuses a second owner in the same process, and is free after close', async (t) => {
  const path = rootDirectory(t);
  const first = await openRoot({ path });
  await assert.rejects(openRoot({ path }), {
    code: 'root-owned',
    exitCode: 3,
    message: new RegExp(`is owned by process ${process.pid} on `),
  });
  await first.close();
  await (await openRoot({ path })).close();
});

test('cuts off a torn last record of the journal', async (t) => {
  const path = rootDirectory(t);
  const first = await openRoot({ path });
  await first.journal.append({
    type: 'prepared',
    operationId: 'a',
    fromGeneration: null,
    toGeneration: 1,
    commit: null,
    events: [],
  });
  await first.close();
  writeFileSync(join(path, 'journal.jsonl'), '{"type":"swit', { flag: 'a' });
  const second = await openTestRoot(t, { path });
  assert.equal(second.journal.unfinished()?.prepared.operationId, 'a');
  await second.journal.append({ type: 'committed', operationId: 'a' });
  assert.equal(second.journal.unfinished(), undefined);
  const lines = readFileSync(join(path, 'journal.jsonl'), 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).type),
    ['prepared', 'committed'],
  );
  await second.journal.compact(0);
  assert.equal(readFileSync(join(path, 'journal.jsonl'), 'utf8'), '');
});

test('any sequence of locks ends with current equal to the last', async (t) => {
  const pool = [
    orders1,
    orders2,
    dark,
    makeModule('dark', '2.0.0', { 'theme.css': 'y', 'é/ß.css': 'z' }, 'themes/Dark'),
    makeModule('products', '1.0.0'),
  ];
  const path = rootDirectory(t);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uniqueArray(fc.constantFrom(...pool), { selector: ({ pin }) => pin.alias }), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.constantFrom('symlink' as const, 'hardlink' as const),
      async (locks, link) => {
        const root = await openRoot({ path, link, keepGenerations: 1, retainForMs: 0 });
        try {
          for (const modules of locks) {
            await deploy(root, ...modules);
            await root.collectGarbage();
          }
          const last = locks.at(-1) ?? [];
          assert.deepEqual([...(await root.findDrift('content'))], []);
          assert.deepEqual(
            [...((await root.current())?.lock.modules.keys() ?? [])].sort(),
            last.map(({ pin }) => pin.alias).sort(),
          );
          for (const { pin, entry } of last) {
            const directory = join(path, 'current', entry.directory ?? '');
            assert.equal(digestByCoreutils(directory), pin.sha256);
          }
        } finally {
          await root.close();
        }
      },
    ),
    { numRuns: 15 },
  );
});

test('removes the temporary files of its own that a killed process left, and no other', async (t) => {
  const path = rootDirectory(t);
  await (await openRoot({ path })).close();
  const own = ['status.json', 'switches.json', 'journal.jsonl'].map(
    (name) => `.${name}.0123456789ab.tmp`,
  );
  const foreign = ['.theirs.json.0123456789ab.tmp', '.status.json.tmp'];
  for (const name of [...own, ...foreign]) writeFileSync(join(path, name), '');
  await openTestRoot(t, { path });
  const left = readdirSync(path).filter((name) => name.endsWith('.tmp'));
  assert.deepEqual(left.sort(), foreign.sort());
});
