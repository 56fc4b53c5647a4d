import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { LockEntry } from '../../src/repo/lock.ts';
import { gitSource } from '../../src/source/git-source.ts';
import type { ModuleSource, SourceFile, WantedModule } from '../../src/source/module-source.ts';
import { readModuleManifest, readModuleTree } from '../../src/source/module-tree.ts';
import { objectSource } from '../../src/source/object-source.ts';
import { type ServedRepository, serveRepository } from '../support/served-repository.ts';

const manifest = (alias: string, more: object = {}) =>
  `${JSON.stringify({ name: alias, alias, version: '1.0.0', ...more })}\n`;

async function servePlatform(
  t: TestContext,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<ServedRepository> {
  const served = await serveRepository(t);
  served.repository.commit('Start', files);
  served.publish();
  return served;
}

function wanted({ repository }: ServedRepository, directory: string): WantedModule {
  const tree = repository.git('rev-parse', `HEAD:modules/${directory}`);
  return wantedTree(directory, tree);
}

function wantedTree(directory: string, tree: string | null): WantedModule {
  const entry: LockEntry = {
    version: '1.0.0',
    directory,
    source: null,
    tree,
    artifact: null,
    sha256: `sha256:${'0'.repeat(64)}`,
    file_count: 0,
    size_bytes: 0,
    released_at: null,
  };
  return { alias: directory.toLowerCase(), entry };
}

async function readAll(source: ModuleSource, module: WantedModule): Promise<SourceFile[]> {
  const files = await source.read(module);
  assert.ok(files, `${source.name} has ${module.alias}`);
  return collect(files);
}

async function collect(files: AsyncIterable<SourceFile>): Promise<SourceFile[]> {
  const collected: SourceFile[] = [];
  for await (const file of files) collected.push(file);
  return collected;
}

test('delivers what is distributed, executable bits kept, exclusions left out', async (t) => {
  const served = await servePlatform(t, {
    'modules/Orders/module.json': manifest('orders', {
      distribution: { exclude: ['tests'], include: ['dist/app.js'] },
    }),
    'modules/Orders/bin/work.sh': 'exit 0\n',
    'modules/Orders/src/orders.php': '<?php\n',
    'modules/Orders/tests/orders.test.php': '<?php\n',
    'modules/Orders/vendor/autoload.php': '<?php\n',
    'modules/Orders/dist/app.js': 'app\n',
    'modules/Orders/dist/app.js.map': '{}\n',
  });
  const files = await readAll(
    gitSource(served.remote(), served.database),
    wanted(served, 'Orders'),
  );
  assert.deepEqual(
    files.map(({ path, executable }) => [path, executable]),
    [
      ['bin/work.sh', true],
      ['dist/app.js', false],
      ['module.json', false],
      ['src/orders.php', false],
    ],
  );
  const texts = files.map(({ content }) => Buffer.from(content).toString());
  assert.deepEqual(texts.slice(0, 2), ['exit 0\n', 'app\n']);
});

test('several modules come in one request, and are then in the object store', async (t) => {
  const served = await servePlatform(t, {
    'modules/Orders/module.json': manifest('orders'),
    'modules/Products/module.json': manifest('products'),
  });
  const modules = [wanted(served, 'Orders'), wanted(served, 'Products')];
  const store = objectSource(served.database);
  for (const module of modules) assert.equal(await store.read(module), undefined);
  const source = gitSource(served.remote(), served.database);
  await source.prefetch?.(modules);
  assert.deepEqual(
    served.server.requests.map(({ kind }) => kind),
    ['info-refs', 'fetch'],
  );
  for (const module of modules) {
    assert.deepEqual(
      (await readAll(store, module)).map(({ path }) => path),
      ['module.json'],
    );
    await readAll(source, module);
  }
  assert.equal(served.server.requests.length, 2);
});

test('a tree that the server lacks, or a lock does not name, is left to other sources', async (t) => {
  const served = await servePlatform(t, { 'modules/Orders/module.json': manifest('orders') });
  const source = gitSource(served.remote(), served.database);
  const absent = wantedTree('Gone', '1234567812345678123456781234567812345678');
  const present = wanted(served, 'Orders');
  await source.prefetch?.([absent, present]);
  assert.equal(await source.read(absent), undefined);
  assert.equal(await source.read(wantedTree('Reference', null)), undefined);
  assert.equal((await readAll(objectSource(served.database), present)).length, 1);
});

test('a server that is away is an error, not an absent module', async (t) => {
  const served = await servePlatform(t, { 'modules/Orders/module.json': manifest('orders') });
  const source = gitSource(served.remote(), served.database);
  served.server.setFault({ kind: 'status', status: 500 });
  await assert.rejects(source.read(wanted(served, 'Orders')), { code: 'remote-failed' });
  await assert.rejects(async () => source.prefetch?.([wanted(served, 'Orders')]), {
    code: 'remote-failed',
  });
});

test('an upgrade moves only what the version before did not have', async (t) => {
  const large = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) >> (i % 11)));
  const served = await servePlatform(t, {
    'modules/Orders/module.json': manifest('orders'),
    'modules/Orders/large.bin': large,
  });
  const remote = served.remote();
  const before = wanted(served, 'Orders').entry.tree ?? '';
  const first = await remote.fetchTrees([before]);
  served.repository.commit('Change', { 'modules/Orders/small.txt': 'small\n' });
  served.publish();
  const after = wanted(served, 'Orders').entry.tree ?? '';
  const second = await remote.fetchTrees([after], { have: [before] });
  assert.equal(second.objects, 2);
  assert.ok(second.bytes * 10 < first.bytes, `${second.bytes} after ${first.bytes}`);
  const files = await readAll(objectSource(served.database), wanted(served, 'Orders'));
  assert.deepEqual(
    Buffer.from(files.find(({ path }) => path === 'large.bin')?.content ?? []),
    large,
  );
});

test('refuses a git-LFS pointer, a symlink and a directory that is no module, by name', async (t) => {
  const served = await servePlatform(t, {
    'modules/Pointer/module.json': manifest('pointer'),
    'modules/Pointer/movie.mp4':
      'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n',
    'modules/Link/module.json': manifest('link'),
    'modules/Empty/readme.txt': 'no manifest\n',
  });
  const blob = served.repository.git('rev-parse', 'HEAD:modules/Empty/readme.txt');
  served.repository.git('update-index', '--add', '--cacheinfo', `120000,${blob},modules/Link/away`);
  served.repository.git('commit', '-q', '-m', 'Link');
  served.publish();
  const remote = served.remote();
  const read = async (directory: string) => {
    const tree = wanted(served, directory).entry.tree ?? '';
    await remote.fetchTrees([tree]);
    return collect(await readModuleTree(served.database, tree, `modules/${directory}`));
  };
  await assert.rejects(read('Pointer'), {
    code: 'refused-path',
    message: 'modules/Pointer/movie.mp4 is a git-LFS pointer',
  });
  await assert.rejects(read('Link'), {
    code: 'refused-path',
    message: 'modules/Link/away is a symlink',
  });
  await assert.rejects(read('Empty'), {
    code: 'not-a-module',
    message: /^modules\/Empty has no file module.json/,
  });
  const { tree } = wanted(served, 'Pointer').entry;
  const found = await readModuleManifest(served.database, tree ?? '', 'modules/Pointer');
  assert.equal(found.alias, 'pointer');
});
