import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { RinglockError } from '../../src/errors.ts';
import { digestCacheFile } from '../../src/git/digest-cache.ts';
import { findRepository } from '../../src/git/git-command.ts';
import { type PlatformSnapshot, readPlatform } from '../../src/git/platform-snapshot.ts';
import { commitTree, indexTree, workTree } from '../../src/git/tree-snapshot.ts';
import { gitEnvironment, openRepository, type Repository } from '../support/repository.ts';
import { createTwoModules, moduleJson } from '../support/two-modules.ts';

async function readWork(repository: Repository): Promise<PlatformSnapshot> {
  const found = await findRepository(repository.path);
  return readPlatform(found, await workTree(found), { cache: false });
}

async function readIndex(repository: Repository): Promise<PlatformSnapshot> {
  const found = await findRepository(repository.path);
  return readPlatform(found, await indexTree(found), { cache: false });
}

/** What DESIGN gives for anyone to recompute a digest. */
function pipelineDigest(directory: string): string {
  const script =
    "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum -- | sha256sum";
  const printed = execFileSync('sh', ['-c', script], { cwd: directory, encoding: 'utf8' });
  return `sha256:${printed.split(' ')[0]}`;
}

/** Without the paths of which a segment differs from another path's only by case, or is both file and folder. */
function withoutClashes<T>(tree: Readonly<Record<string, T>>): Record<string, T> {
  const tops = new Set<string>();
  return Object.fromEntries(
    Object.entries(tree).filter(([path]) => {
      const top = (path.split('/')[0] ?? '').toLowerCase();
      return !tops.has(top) && tops.add(top) !== undefined;
    }),
  );
}

const code = (expected: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RinglockError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, message);
  return true;
};

test('digests a module as find, sort and sha256sum do', async (t) => {
  const repository = createTwoModules(t);
  const { modules, platform } = await readWork(repository);
  assert.equal(platform, '2.0.0');
  assert.deepEqual([...modules.keys()], ['orders', 'products']);
  const orders = modules.get('orders');
  assert.equal(orders?.sha256, pipelineDigest(join(repository.path, 'modules/Orders')));
  assert.equal(orders?.fileCount, 3);
  assert.equal(orders?.directory, 'Orders');
  assert.equal(orders?.path, 'modules/Orders');
});

test('digests any file tree as the coreutils pipeline does', async (t) => {
  const segment = fc
    .string({
      unit: fc.constantFrom('a', 'B', 'é', '日', '𝒳', ' ', '-', '.', '_', '0'),
      minLength: 1,
      maxLength: 6,
    })
    // Coreutils take a file named - for standard input, also after --.
    .filter((name) => name !== '-' && !/[. ]$/.test(name));
  const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const files = fc.dictionary(path, fc.uint8Array({ maxLength: 2000 }), { maxKeys: 12 });
  const repository = createTwoModules(t);
  repository.write({ '.gitattributes': '* -text\n' });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(files, async (tree) => {
      run += 1;
      const name = `Generated${run}`;
      repository.write({ 'modules/Orders': null, [`modules/Generated${run - 1}`]: null });
      repository.write({ [`modules/${name}/module.json`]: moduleJson('generated') });
      for (const [file, content] of Object.entries(withoutClashes(tree))) {
        repository.write({ [`modules/${name}/${file}`]: content });
      }
      const { modules } = await readWork(repository);
      const expected = pipelineDigest(join(repository.path, 'modules', name));
      assert.equal(modules.get('generated')?.sha256, expected);
    }),
    { numRuns: 25 },
  );
});

test('takes only a folder with a module.json below a root for a module', async (t) => {
  const repository = createTwoModules(t);
  repository.write({
    'modules/manifests/stable.lock.json': '{}',
    'modules/README.md': 'about',
    'modules/Group/Deep/module.json': moduleJson('deep'),
    'manifests/module.json': moduleJson('manifests'),
    'other/Thing/module.json': moduleJson('thing'),
  });
  assert.deepEqual([...(await readWork(repository)).modules.keys()], ['orders', 'products']);
});

test('finds modules below every root of the settings', async (t) => {
  const repository = createTwoModules(t);
  repository.write({
    'manifests/ringlock.yaml': 'roots: [modules, themes, packages/php]\n',
    'themes/Dark/module.json': moduleJson('dark'),
    'packages/php/Auth/module.json': moduleJson('auth'),
  });
  const { modules } = await readWork(repository);
  assert.equal(modules.get('dark')?.directory, 'themes/Dark');
  assert.equal(modules.get('auth')?.directory, 'packages/php/Auth');
});

test('leaves out what is excluded, and nothing else', async (t) => {
  const repository = createTwoModules(t);
  const before = (await readWork(repository)).modules.get('orders');
  repository.write({
    'modules/Orders/node_modules/x/index.js': '1',
    'modules/Orders/sub/vendor/y': '1',
    'modules/Orders/composer.lock': '1',
    'modules/Orders/storage/logs/a.log': '1',
  });
  const after = (await readWork(repository)).modules.get('orders');
  assert.equal(after?.sha256, before?.sha256);
  assert.notEqual(after?.tree, before?.tree);
  repository.write({ 'modules/Orders/storage/keep': '1' });
  assert.notEqual((await readWork(repository)).modules.get('orders')?.sha256, before?.sha256);
});

for (const [what, prepare, message] of [
  [
    'a symlink',
    (r: Repository) => symlinkSync('src', join(r.path, 'modules/Orders/link')),
    /modules\/Orders\/link is a symlink/,
  ],
  [
    'a git-LFS pointer',
    (r: Repository) =>
      r.write({
        'modules/Orders/big.bin':
          'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
      }),
    /modules\/Orders\/big\.bin is a git-LFS pointer/,
  ],
  [
    'a backslash in a name',
    (r: Repository) => r.write({ 'modules/Orders/a\\b': '1' }),
    /has a backslash/,
  ],
  [
    'a control character in a name',
    (r: Repository) => r.write({ 'modules/Orders/a\tb': '1' }),
    /has a control character/,
  ],
  [
    'two names that are one under case folding',
    (r: Repository) => r.write({ 'modules/Orders/readme': '1', 'modules/Orders/README': '2' }),
    /is the same as README under case folding/,
  ],
  [
    'two names that are one under Unicode NFC',
    (r: Repository) =>
      r.write({ 'modules/Orders/caf\u00e9': '1', 'modules/Orders/cafe\u0301': '2' }),
    /under case folding or Unicode NFC/,
  ],
  [
    'more files than the settings allow',
    (r: Repository) => r.write({ 'manifests/ringlock.yaml': 'limits: {files: 2}\n' }),
    /has 3 files, more than 2/,
  ],
  [
    'a submodule inside a module',
    (r: Repository) => {
      r.git('add', '-A');
      r.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},modules/Orders/lib`);
    },
    /modules\/Orders\/lib is a gitlink/,
  ],
  [
    'a submodule in place of a module',
    (r: Repository) => {
      r.git('add', '-A');
      r.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},modules/Lib`);
    },
    /modules\/Lib is a gitlink/,
  ],
] as const) {
  test(`refuses ${what}, naming the path`, async (t) => {
    const repository = createTwoModules(t);
    prepare(repository);
    if (!what.startsWith('a submodule')) repository.git('add', '-A');
    await assert.rejects(readIndex(repository), code('refused-path', message));
  });
}

test('refuses two modules with one alias, naming both', async (t) => {
  const repository = createTwoModules(t);
  repository.write({ 'modules/Copy/module.json': moduleJson('orders') });
  await assert.rejects(
    readWork(repository),
    code('alias-clash', /modules\/Copy\/module\.json and modules\/Orders\/module\.json/),
  );
});

test('refuses two modules that would lie in one place on some disk', async (t) => {
  const repository = createTwoModules(t);
  repository.write({ 'modules/orders/module.json': moduleJson('other') });
  await assert.rejects(readWork(repository), code('directory-clash', /modules\/orders/));
});

test('reads what is staged: not the edits after it, not add -N', async (t) => {
  const repository = createTwoModules(t);
  repository.git('add', '-A');
  const staged = (await readIndex(repository)).modules.get('orders')?.sha256;
  repository.write({
    'modules/Orders/src/orders.js': 'edited\n',
    'modules/Orders/new.js': 'new\n',
  });
  repository.git('add', '-N', 'modules/Orders/new.js');
  assert.equal((await readIndex(repository)).modules.get('orders')?.sha256, staged);
  assert.equal((await readWork(repository)).modules.get('orders')?.fileCount, 4);
});

test('reads the work tree without touching the index', async (t) => {
  const repository = createTwoModules(t);
  repository.commit('first');
  repository.write({
    'modules/Orders/src/orders.js': 'edited\n',
    'modules/Orders/new.js': 'new\n',
    'modules/Products': null,
  });
  const before = readFileSync(join(repository.path, '.git/index'));
  const { modules } = await readWork(repository);
  assert.deepEqual([...modules.keys()], ['orders']);
  assert.deepEqual(readFileSync(join(repository.path, '.git/index')), before);
  assert.deepEqual(repository.git('status', '--short').split('\n'), [
    ' M modules/Orders/src/orders.js',
    ' D modules/Products/module.json',
    ' D modules/Products/src/products.js',
    '?? modules/Orders/new.js',
  ]);
});

test('sees an edit in the same instant and of the same size as the last git add', async (t) => {
  const repository = createTwoModules(t);
  for (let round = 0; round < 10; round++) {
    repository.write({ 'modules/Orders/src/orders.js': `a${round}` });
    repository.git('add', '-A');
    repository.write({ 'modules/Orders/src/orders.js': `b${round}` });
    const digest = (await readWork(repository)).modules.get('orders')?.sha256;
    assert.equal(digest, pipelineDigest(join(repository.path, 'modules/Orders')));
  }
});

test('works with VERSION or a root that is gone from the disk', async (t) => {
  const repository = createTwoModules(t);
  repository.write({ 'manifests/ringlock.yaml': 'roots: [modules, themes]\n' });
  repository.commit('first');
  repository.write({ modules: null });
  assert.equal((await readWork(repository)).modules.size, 0);
  repository.write({ VERSION: null });
  await assert.rejects(readWork(repository), code('no-platform', /VERSION is missing/));
});

test('gives one digest whatever the line-ending settings of the clone', async (t) => {
  const repository = createTwoModules(t);
  repository.write({ '.gitattributes': '* text=auto\n' });
  repository.commit('first');
  const digest = (await readWork(repository)).modules.get('orders')?.sha256;
  const clone = join(repository.path, 'clone');
  execFileSync('git', ['clone', '-q', '-c', 'core.autocrlf=true', repository.path, clone], {
    env: gitEnvironment,
  });
  assert.match(readFileSync(join(clone, 'modules/Orders/src/orders.js'), 'utf8'), /\r\n/);
  assert.equal((await readWork(openRepository(clone))).modules.get('orders')?.sha256, digest);
});

test('reads a SHA-256 repository', async (t) => {
  const repository = createTwoModules(t, '--object-format=sha256');
  const orders = (await readWork(repository)).modules.get('orders');
  assert.match(orders?.tree ?? '', /^[0-9a-f]{64}$/);
  assert.equal(orders?.sha256, pipelineDigest(join(repository.path, 'modules/Orders')));
});

test('reads a linked work tree, from a folder below its top', async (t) => {
  const repository = createTwoModules(t);
  repository.commit('first');
  const linked = join(repository.path, 'linked');
  repository.git('worktree', 'add', '-q', linked);
  writeFileSync(join(linked, 'modules/Orders/src/orders.js'), 'linked\n');
  const found = await findRepository(join(linked, 'modules/Orders'));
  assert.equal(found.topLevel, linked);
  assert.equal(found.commonDir, join(repository.path, '.git'));
  const { modules } = await readPlatform(found, await workTree(found));
  assert.equal(modules.get('orders')?.sha256, pipelineDigest(join(linked, 'modules/Orders')));
});

test('reads sparse and split indexes', async (t) => {
  const repository = createTwoModules(t);
  repository.commit('first');
  const whole = await readWork(repository);
  repository.git('update-index', '--split-index');
  const split = readFileSync(join(repository.path, '.git/index'));
  assert.deepEqual((await readWork(repository)).modules, whole.modules);
  assert.deepEqual(readFileSync(join(repository.path, '.git/index')), split);
  repository.git('update-index', '--no-split-index');
  repository.git(
    'sparse-checkout',
    'set',
    '--cone',
    '--sparse-index',
    'manifests',
    'modules/Orders',
  );
  assert.deepEqual((await readWork(repository)).modules, whole.modules);
  assert.deepEqual((await readIndex(repository)).modules, whole.modules);
});

test('names the files of a merge conflict', async (t) => {
  const repository = createTwoModules(t);
  repository.commit('first');
  repository.git('checkout', '-qb', 'other');
  repository.commit('theirs', { 'modules/Orders/src/orders.js': 'theirs\n' });
  repository.git('checkout', '-q', 'main');
  repository.commit('ours', { 'modules/Orders/src/orders.js': 'ours\n' });
  repository.tryGit('merge', 'other');
  const expected = code('unmerged-index', /^modules\/Orders\/src\/orders\.js has a merge conflict/);
  await assert.rejects(readIndex(repository), expected);
  await assert.rejects(readWork(repository), expected);
});

test('reads any commit, and names one that is not there', async (t) => {
  const repository = createTwoModules(t);
  repository.commit('first');
  repository.commit('second', { 'modules/Orders/module.json': moduleJson('orders', '1.0.1') });
  const found = await findRepository(repository.path);
  const former = await readPlatform(found, await commitTree(found, 'HEAD~1'));
  assert.equal(former.modules.get('orders')?.manifest.version, '1.0.0');
  await assert.rejects(commitTree(found, 'nowhere'), code('unknown-revision', /nowhere/));
  await assert.rejects(commitTree(found, '--all'), code('unknown-revision', /--all/));
});

test('answers the same from the cache, and does without a damaged one', async (t) => {
  const repository = createTwoModules(t);
  const found = await findRepository(repository.path);
  const tree = await workTree(found);
  const cold = await readPlatform(found, tree);
  assert.deepEqual((await readPlatform(found, tree)).modules, cold.modules);
  const cache = digestCacheFile(found);
  const text = readFileSync(cache, 'utf8');
  writeFileSync(cache, text.replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${'0'.repeat(64)}`));
  const used = await readPlatform(found, tree);
  assert.equal(used.modules.get('orders')?.sha256, `sha256:${'0'.repeat(64)}`, 'the cache is used');
  const uncached = await readPlatform(found, tree, { cache: false });
  assert.deepEqual(uncached.modules, cold.modules);
  for (const damaged of [
    text.slice(0, 90),
    '{"version":1,"modules":{"x":1}}',
    text.replace('"version":1', '"version":0'),
    '',
  ]) {
    writeFileSync(cache, damaged);
    assert.deepEqual((await readPlatform(found, tree)).modules, cold.modules);
  }
});

test('says that a folder is no repository', async (t) => {
  const repository = createTwoModules(t);
  mkdirSync(join(repository.path, '.git/inside'), { recursive: true });
  await assert.rejects(findRepository('/'), code('not-a-repository', /^\/ is not in/));
  await assert.rejects(
    findRepository(join(repository.path, '.git/inside')),
    code('not-a-repository', /not in the work tree/),
  );
});
