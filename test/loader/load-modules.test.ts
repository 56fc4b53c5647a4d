import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { loadModules, resolveModule } from '../../src/index.ts';
import { removeTree } from '../../src/store/module-tree.ts';
import type { Root } from '../../src/store/root.ts';
import { deploy, openTestRoot } from '../store/support.ts';
import { errorOf } from '../support/error-of.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { mobile, moduleOf, orders1, orders2, products } from './made-modules.ts';

const aliasesOf = (view: { modules: readonly { alias: string }[] }) =>
  view.modules.map(({ alias }) => alias);

/** A root whose generation 1 has Products, Orders and Mobile; for tests that change nothing. */
let shared: Root;

before(async (t) => {
  shared = await openTestRoot(t as TestContext);
  await deploy(shared, mobile, orders1, products);
});

for (const link of ['symlink', 'hardlink'] as const) {
  test(`gives one generation, dependencies first, real paths and the whole module.json (${link})`, async (t) => {
    const root = await openTestRoot(t, { link });
    const widget = { providers: [{ class: 'Widget' }] };
    const extra = moduleOf('a-widget', '3.0.0-beta.1', {
      dependencies: { mobile: '*' },
      more: widget,
    });
    await deploy(root, extra, mobile, orders1, products);
    const view = await loadModules(root.path);
    assert.deepEqual(aliasesOf(view), ['products', 'orders', 'mobile', 'a-widget']);
    assert.deepEqual(view.refused, []);
    const facts = JSON.parse(
      readFileSync(join(root.path, 'current/.ringlock/generation.json'), 'utf8'),
    );
    const { ring, generation, commit, lockDigest, platform, createdAt } = view;
    assert.deepEqual(
      { ring, generation, commit, lockDigest, platform, createdAt },
      {
        ring: facts.ring,
        generation: 1,
        commit: facts.commit,
        lockDigest: facts.lock_digest,
        platform: '2.0.0',
        createdAt: facts.created_at,
      },
    );
    assert.equal(view.lockPath, join(root.path, 'generations/000001/.ringlock/lock.json'));
    const [first, , , last] = view.modules;
    assert.equal(first?.path, realpathSync(join(root.path, 'current/Products')));
    assert.equal(first?.sha256, products.pin.sha256);
    assert.equal(readFileSync(join(first.path, 'src/version.txt'), 'utf8'), '1.0.0');
    assert.equal(last?.version, '3.0.0-beta.1');
    assert.deepEqual(last?.manifest['providers'], widget.providers);
  });
}

test('nobody who gets a view can change it', async () => {
  const view = await loadModules(shared.path);
  const module = view.modules[1] as { version: string; manifest: { dependencies: object } };
  for (const change of [
    () => Object.assign(view, { generation: 2 }),
    () => (view.modules as unknown[]).push(module),
    () => Object.assign(module, { version: '9.0.0' }),
    () => Object.assign(module.manifest.dependencies, { products: '*' }),
  ]) {
    assert.throws(change, TypeError);
  }
});

test('refuses what the image cannot run, and what needs it, as the graph of the reconciler does', async () => {
  const view = await loadModules(shared.path, { platform: '3.1.0' });
  assert.equal(view.platform, '3.1.0');
  assert.deepEqual(aliasesOf(view), []);
  assert.deepEqual(view.refused, [
    {
      alias: 'mobile',
      kind: 'refused-dependency',
      reason: 'mobile cannot run because its dependency orders cannot',
      because: 'orders',
    },
    {
      alias: 'orders',
      kind: 'refused-dependency',
      reason: 'orders cannot run because its dependency products cannot',
      because: 'products',
    },
    {
      alias: 'products',
      kind: 'platform',
      reason: 'products 1.0.0 is incompatible: platform 3.1.0 does not satisfy ^2.0.0',
      because: null,
    },
  ]);
});

test('refuses a module whose dependency is missing or has another version', async (t) => {
  const root = await openTestRoot(t);
  const picky = moduleOf('picky', '1.0.0', { dependencies: { orders: '^2.0.0', gone: '*' } });
  await deploy(root, products, orders1, picky);
  const view = await loadModules(root.path);
  assert.deepEqual(aliasesOf(view), ['products', 'orders']);
  assert.deepEqual(
    view.refused.map(({ kind, because }) => [kind, because]),
    [
      ['missing-dependency', 'gone'],
      ['unsatisfied-dependency', 'orders'],
    ],
  );
  const error = await errorOf(resolveModule(root.path, 'picky'));
  assert.equal(error.code, 'module-refused');
  assert.match(error.message, /picky 1\.0\.0 depends on gone.*; .*orders \^2\.0\.0, found 1\.0\.0/);
});

test('takes the platform from a file, and refuses one that is none', async (t) => {
  const file = join(temporaryDirectory(t), 'VERSION');
  writeFileSync(file, '1.9.0\n');
  assert.equal((await loadModules(shared.path, { platformFile: file })).refused.length, 3);
  writeFileSync(file, 'two\n');
  for (const [options, code] of [
    [{ platformFile: file }, 'invalid-platform-version'],
    [{ platform: '2.0' }, 'invalid-platform-version'],
    [{ platform: '2.0.0', platformFile: file }, 'platform-twice'],
    [{ platformFile: `${file}.gone` }, 'disk-failed'],
  ] as const) {
    assert.equal((await errorOf(loadModules(shared.path, options))).code, code);
  }
});

test('resolves one module, and names those there are for one that is not', async () => {
  assert.equal((await resolveModule(shared.path, 'orders')).version, '1.0.0');
  const error = await errorOf(resolveModule(shared.path, 'invoices'));
  assert.equal(error.code, 'unknown-module');
  assert.equal(error.hint, 'Modules there: mobile, orders, products.');
});

test('however often it is switched and collected meanwhile, a view is of one generation', async (t) => {
  const root = await openTestRoot(t, { keepGenerations: 1, retainForMs: 0 });
  await deploy(root, orders1, products);
  let isOver = false;
  const switching = (async () => {
    for (let number = 2; number <= 9; number++) {
      await deploy(root, number % 2 === 0 ? orders2 : orders1, products);
      await root.collectGarbage();
    }
    isOver = true;
  })();
  const seen = new Map<number, string>();
  while (!isOver) {
    const { generation, modules } = await loadModules(root.path);
    seen.set(generation, modules.map(({ version }) => version).join(' '));
  }
  await switching;
  for (const [number, versions] of seen) {
    assert.equal(versions, number % 2 === 0 ? '1.0.0 1.1.0' : '1.0.0 1.0.0');
  }
  assert.ok(seen.size > 1, 'it was read before and after a switch');
});

for (const pausedAt of ['generation.json', 'lock.json']) {
  test(`a generation that is collected while its ${pausedAt} is read is read again from the next`, async (t) => {
    const root = await openTestRoot(t);
    await deploy(root, orders1, products);
    await deploy(root, orders2, products);
    const first = join(root.path, 'generations/000001');
    const file = join(first, '.ringlock', pausedAt);
    const text = readFileSync(file);
    // Whoever reads a pipe waits for its writer.
    unlinkSync(file);
    execFileSync('mkfifo', [file]);
    showGeneration(root.path, 1);
    const loaded = loadModules(root.path);
    const writer = await open(file, 'w'); // returns once the reader is there
    showGeneration(root.path, 2);
    await removeTree(first);
    await writer.writeFile(text);
    await writer.close();
    assert.equal((await loaded).generation, 2);
  });
}

const damages: readonly [string, string, RegExp, (path: string) => void][] = [
  [
    'no `current`',
    'no-generation',
    /current is not there/,
    (path) => unlinkSync(`${path}/current`),
  ],
  [
    'a `current` that is a directory',
    'foreign-current',
    /not a link at all/,
    (path) => {
      unlinkSync(`${path}/current`);
      mkdirSync(`${path}/current`);
    },
  ],
  [
    'a `current` to nowhere',
    'generation-damaged',
    /generations\/000009 is not a generation/,
    (path) => {
      unlinkSync(`${path}/current`);
      symlinkSync('generations/000009', `${path}/current`);
    },
  ],
  [
    'a lock that is not the generation’s',
    'generation-damaged',
    /not a generation as it was built/,
    (path) => editFact(path, 'lock.json', (text) => text.replace('1.0.0', '1.0.1')),
  ],
  [
    'a module whose directory is gone',
    'module-missing',
    /Orders\/module\.json is not there, generation 1 pins orders 1\.0\.0/,
    (path) => {
      const version = realpathSync(`${path}/current/Orders`);
      renameSync(version, `${version}.gone`);
    },
  ],
  [
    'a module.json of another version',
    'manifest-mismatch',
    /holds orders 1\.0\.7, generation 1 pins orders 1\.0\.0/,
    (path) => editModule(path, (text) => text.replace('"version": "1.0.0"', '"version": "1.0.7"')),
  ],
  [
    'a module.json that is none',
    'invalid-json',
    /Orders\/module\.json:\d+ is not JSON/,
    (path) => editModule(path, (text) => text.slice(0, 20)),
  ],
];

for (const [what, code, message, damage] of damages) {
  test(`says what is wrong with a root that has ${what}, and what to do`, async (t) => {
    const root = await openTestRoot(t);
    await deploy(root, orders1, products);
    damage(root.path);
    const error = await errorOf(loadModules(root.path));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.hint);
  });
}

test('refuses a lock of a newer format, and says so', async (t) => {
  const root = await openTestRoot(t);
  await deploy(root, orders1, products);
  let digest = '';
  editFact(root.path, 'lock.json', (text) => {
    const newer = text.replace('"lock_version": 1', '"lock_version": 2');
    digest = `sha256:${createHash('sha256').update(newer).digest('hex')}`;
    return newer;
  });
  editFact(root.path, 'generation.json', (text) =>
    text.replace(/"lock_digest": "[^"]+"/, `"lock_digest": "${digest}"`),
  );
  const error = await errorOf(loadModules(root.path));
  assert.equal(error.code, 'newer-lock-version');
  assert.match(error.message, /has lock_version 2, this ringlock reads up to 1/);
});

test('says that a root is missing, empty or no path at all', async (t) => {
  const empty = temporaryDirectory(t);
  for (const [root, code, message] of [
    [join(empty, 'gone'), 'no-generation', /gone is not there: nothing has been installed/],
    [empty, 'no-generation', /current is not there/],
    ['', 'no-root', /the root is "", expected a path/],
    [undefined as unknown as string, 'no-root', /the root is undefined/],
  ] as const) {
    const error = await errorOf(loadModules(root));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(error.hint);
  }
});

test('an application of another user reads a root, unless the directory is closed to it', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root can become another user');
    return;
  }
  const root = await openTestRoot(t);
  await deploy(root, orders1, products);
  const load = async () => {
    process.seteuid?.(65_534);
    try {
      return await loadModules(root.path);
    } finally {
      process.seteuid?.(0);
    }
  };
  chmodSync(root.path, 0o700);
  const error = await errorOf(load());
  assert.equal(error.code, 'disk-denied');
  assert.match(error.hint ?? '', /Give this process’s user the directory/);
  chmodSync(root.path, 0o755);
  assert.deepEqual(await load(), await loadModules(root.path));
});

test('gives what the reconciler left out, with its reasons', async (t) => {
  const root = await openTestRoot(t);
  await deployWithout(root);
  const { refused } = await loadModules(root.path);
  assert.deepEqual(refused, [
    { alias: 'future', kind: 'platform', reason: 'future 1.0.0 is incompatible', because: null },
  ]);
  assert.equal((await errorOf(resolveModule(root.path, 'future'))).code, 'module-refused');
});

async function deployWithout(root: Root): Promise<void> {
  await deploy(root, products);
  const before = await root.current();
  assert.ok(before);
  const refused = [
    { alias: 'future', kind: 'platform' as const, message: 'future 1.0.0 is incompatible' },
  ];
  await root.switchTo(await root.buildGeneration(before.lock, { ...before, refused }));
}

/** Points `current` at a generation, as the reconciler does. */
function showGeneration(root: string, number: number): void {
  symlinkSync(`generations/00000${number}`, join(root, 'beside'));
  renameSync(join(root, 'beside'), join(root, 'current'));
}

function editFact(root: string, name: string, edit: (text: string) => string): void {
  rewrite(realpathSync(join(root, 'current/.ringlock', name)), edit);
}

function editModule(root: string, edit: (text: string) => string): void {
  rewrite(realpathSync(join(root, 'current/Orders/module.json')), edit);
}

function rewrite(path: string, edit: (text: string) => string): void {
  const text = edit(readFileSync(path, 'utf8'));
  chmodSync(path, 0o644);
  writeFileSync(path, text);
}
