import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { expandPrefixes } from '../../src/release/prefixes.ts';
import { splitCacheFile } from '../../src/release/split-cache.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import { addHistory, makeHistory, subtreeMissing, subtreeSplit } from '../support/made-history.ts';
import { createPlatform } from '../support/platform.ts';
import { createRepository, gitEnvironment, openRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const skip = subtreeMissing() ?? false;

test('prints one commit a module, writes objects, and refs only with --branch', {
  skip,
}, async (t) => {
  const platform = createPlatform(t);
  const refs = platform.git('for-each-ref');
  const { code, stdout } = await runCli(platform.path, ['split', '--all']);
  assert.equal(code, 0);
  const orders = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  const names = stdout
    .trim()
    .split('\n')
    .map((line) => /^[0-9a-f]{40} {2}(\S+)$/.exec(line)?.[1]);
  assert.deepEqual(names, ['communications', 'mobile-app', 'orders', 'products']);
  assert.ok(stdout.includes(`${orders}  orders\n`));
  assert.equal(platform.git('for-each-ref'), refs);

  const json = await runCli(platform.path, [
    'split',
    'Orders',
    '--branch',
    'split/{alias}',
    '--json',
  ]);
  const [split] = JSON.parse(json.stdout).splits;
  assert.deepEqual(split, {
    ...{ name: 'orders', directory: 'modules/Orders', commit: orders, before: null },
    branch: 'split/orders',
  });
  assert.equal(platform.git('rev-parse', 'split/orders'), orders);
  platform.git('update-ref', 'refs/heads/split/orders', 'HEAD');
  const diverged = await runCli(platform.path, ['split', 'orders', '--branch', 'split/{alias}']);
  assert.equal(diverged.code, 1);
  assert.match(diverged.stderr, /does not continue/);
  const current = await runCli(platform.path, ['split', 'orders', '--branch', 'main']);
  assert.equal(current.code, 1);
  assert.equal((await runCli(platform.path, ['split', '--all', '--branch', 'one'])).code, 2);
  assert.equal((await runCli(platform.path, ['split'])).code, 2);
  const unknown = await runCli(platform.path, ['split', 'nothing']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /expected communications, mobile-app, orders, products/);
});

test('splits only what is another one since a revision', { skip }, async (t) => {
  const platform = createPlatform(t);
  platform.setVersion('Orders', '1.0.1');
  platform.commit('Orders 1.0.1');
  platform.commit('Beside', { 'README.md': 'more\n' });
  const { stdout } = await runCli(platform.path, ['split', '--all', '--since', 'HEAD~2']);
  const expected = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  assert.equal(stdout, `${expected}  orders\n`);
  const none = await runCli(platform.path, ['split', '--all', '--since', 'HEAD~1']);
  assert.equal(none.stdout, '');
});

test('splits the directories of any repository', { skip }, async (t) => {
  const repository = createRepository(t);
  repository.commit('One', { 'packages/a/x': '1', 'packages/b b/x': '2', 'packages/file': '3' });
  repository.commit('Two', { 'packages/a/x': '4', 'tools/ümlaut/y': '5' });
  const run = (...args: string[]) => runCli(repository.path, ['split', ...args]);
  const { code, stdout, stderr } = await run('--prefix', 'packages/*', '--prefix', './tools/');
  assert.equal(code, 0, stderr);
  const expected = ['packages/a', 'packages/b b', 'tools'].map(
    (prefix) => `${subtreeSplit(repository, prefix).stdout.trim()}  ${prefix}\n`,
  );
  assert.equal(stdout, expected.join(''));
  // git-subtree itself gives up on a name that ls-tree quotes.
  assert.match((await run('--prefix', 'tools/ümlaut')).stdout, /^\w{40} {2}tools\/ümlaut\n$/);
  for (const bad of ['../x', '/etc', '', 'packages/file', 'nowhere', 'nowhere/*']) {
    const refused = await run('--prefix', bad);
    assert.equal(refused.code, 2, bad);
  }
});

test('a directory that was deleted and made again continues its own history', {
  skip,
}, async (t) => {
  const secret = { secret: 's', 'other/file': 'o' };
  const { repository, oids } = makeHistory(t, [
    { parents: [], files: { ...secret, 'm/A/f': '1' } },
    { parents: [0], files: { ...secret, 'm/A/f': '2' } },
    { parents: [1], files: secret, message: 'deleted' },
    { parents: [2], files: { ...secret, 'other/file': 'p' }, message: 'without' },
    { parents: [3], files: { ...secret, 'm/A/f': '3' }, message: 'made again' },
    // Deleted on one side only, and kept where they join.
    { parents: [4], files: secret, message: 'deleted again' },
    { parents: [4], files: { ...secret, 'm/A/f': '4' }, message: 'changed beside' },
    { parents: [5, 6], files: { ...secret, 'm/A/f': '4' }, message: 'kept' },
    { parents: [7], files: { ...secret, 'm/A/f': '5' }, message: 'last' },
    // What a side did before it deleted is part of the history.
    { parents: [8], files: { ...secret, 'm/A/f': '6' }, message: 'side' },
    { parents: [9], files: secret, message: 'side deletes' },
    { parents: [8], files: { ...secret, 'm/A/f': '7' }, message: 'own' },
    { parents: [10, 11], files: { ...secret, 'm/A/f': '7' }, message: 'joined' },
  ]);
  const { stdout } = await runCli(repository.path, ['split', '--prefix', 'm/A']);
  const split = stdout.slice(0, 40);
  const log = (...args: string[]) => repository.git('log', ...args, split).split('\n');
  assert.deepEqual(new Set(log('-m', '--root', '--name-only', '--format=')), new Set(['f']));
  const subjects = ['joined', 'side', 'own', 'last', 'changed beside', 'made again'];
  assert.deepEqual(log('--format=%s').sort(), [...subjects, 'A commit', 'A commit'].sort());
  const parents = repository.git('log', '--no-walk', '--format=%s', `${split}^1`, `${split}^2`);
  assert.deepEqual(parents.split('\n').sort(), ['own', 'side']);
  assert.deepEqual(
    log('--format=%H').filter((oid) => oids.includes(oid)),
    [],
  );
  // What is shown here is not for nothing: git brings everything.
  const leaked = subtreeSplit(repository, 'm/A').stdout.trim();
  assert.match(repository.git('log', '--name-only', '--format=', leaked), /secret/);
});

test('goes on from its cache, and does without one that is gone, broken or of a rewritten branch', {
  skip,
}, async (t) => {
  const platform = createPlatform(t);
  const file = splitCacheFile(await findRepository(platform.path));
  const split = async () => (await runCli(platform.path, ['split', 'orders'])).stdout.slice(0, 40);
  const expected = () => subtreeSplit(platform, 'modules/Orders').stdout.trim();
  const change = (text: string) => {
    platform.change('Orders', text);
    platform.commit(text);
  };
  const first = await split();
  change('one');
  assert.equal(await split(), expected());
  rmSync(file);
  assert.equal(await split(), expected());
  const good = readFileSync(file);
  for (const damage of [
    () => truncateSync(file, 40),
    () => truncateSync(file, good.length - 3),
    () => writeFileSync(file, ''),
    () => writeFileSync(file, `${good}`.replaceAll(first, expected())),
  ]) {
    damage();
    assert.equal(await split(), expected());
    assert.equal(`${readFileSync(file)}`, `${good}`);
  }
  // The branch goes another way, and git collects what it was.
  platform.git('reset', '-q', '--hard', 'HEAD~1');
  change('another one');
  platform.git('reflog', 'expire', '--expire=now', '--all');
  platform.git('gc', '-q', '--prune=now');
  const gone = expected();
  platform.git('gc', '-q', '--prune=now');
  assert.equal(await split(), gone);
  assert.equal(platform.git('cat-file', '-t', gone), 'commit');
  assert.equal(platform.git('rev-list', '--count', gone), '2');
});

test('writes again what git collected, and a pack where that is much', { skip }, async (t) => {
  const commits = Array.from({ length: 101 }, (_, index) => ({
    parents: index === 0 ? [] : [index - 1],
    files: { 'a/f': `${index}` },
  }));
  const { repository } = makeHistory(t, commits);
  const split = async () => (await runCli(repository.path, ['split', '--prefix', 'a'])).stdout;
  const before = await split();
  repository.git('gc', '-q', '--prune=now');
  assert.equal(repository.tryGit('cat-file', '-e', before.slice(0, 40)).status, 1);
  assert.equal(await split(), before);
  assert.equal(repository.git('rev-list', '--count', before.slice(0, 40)), '101');
  assert.match(repository.git('count-objects', '-v'), /count: 0\n/);
  repository.git('fsck', '--strict', '--full');
  addHistory(repository, [...commits, { parents: [100], files: { 'a/f': 'last' } }]);
  assert.equal(
    (await split()).slice(0, 40),
    subtreeSplit(openRepository(repository.path), 'a').stdout.trim(),
  );
});

test('refuses a shallow clone, and says what to do', async (t) => {
  const platform = createPlatform(t);
  platform.commit('More');
  const path = temporaryDirectory(t, 'shallow');
  execFileSync('git', ['clone', '-q', '--depth=1', `file://${platform.path}`, path], {
    env: gitEnvironment,
  });
  const { code, stderr } = await runCli(path, ['split', '--all']);
  assert.equal(code, 1);
  assert.match(stderr, /shallow clone[\s\S]*git fetch --unshallow[\s\S]*GIT_DEPTH: 0/);
  platform.git('config', 'remote.origin.partialclonefilter', 'tree:0');
  const treeless = await runCli(platform.path, ['split', '--all']);
  assert.equal(treeless.code, 1);
  assert.match(treeless.stderr, /--filter=blob:none/);
});

test('refuses a directory that git subtree added, and splits the others', { skip }, async (t) => {
  const repository = createRepository(t);
  const library = createRepository(t);
  library.commit('Library', { 'lib.txt': '1\n' });
  repository.commit('One', { 'packages/own/x': '1' });
  repository.git('fetch', '-q', library.path, 'main');
  repository.git('subtree', 'add', '-q', '--prefix=packages/added', 'FETCH_HEAD');
  const { code, stdout, stderr } = await runCli(repository.path, [
    'split',
    '--prefix',
    'packages/*',
  ]);
  assert.equal(code, 1);
  assert.equal(stdout, `${subtreeSplit(repository, 'packages/own').stdout.trim()}  packages/own\n`);
  assert.match(stderr, /packages\/added is not split: .*git-subtree-dir: packages\/added/);
  assert.match(stderr, /git subtree split --prefix=packages\/added/);
});

test('splits a repository of SHA-256 ids, linked work trees, and replaced history', {
  skip,
}, async (t) => {
  const repository = createRepository(t, '--object-format=sha256');
  repository.commit('One', { 'a/x': '1' });
  repository.commit('Two', { 'a/x': '2' });
  const { stdout, stderr } = await runCli(repository.path, ['split', '--prefix', 'a']);
  assert.equal(stdout.slice(0, 64), subtreeSplit(repository, 'a').stdout.trim(), stderr);

  const other = createRepository(t);
  other.commit('One', { 'a/x': '1' });
  const middle = other.commit('Two', { 'a/x': '2' });
  other.commit('Three', { 'a/x': '3' });
  const linked = join(temporaryDirectory(t, 'linked'), 'tree');
  other.git('worktree', 'add', '-q', '--detach', linked);
  const plain = await runCli(linked, ['split', '--prefix', 'a']);
  assert.equal(plain.stdout.slice(0, 40), subtreeSplit(other, 'a').stdout.trim());
  other.git('replace', middle, other.git('commit-tree', `${middle}^{tree}`, '-m', 'A new root'));
  const replaced = await runCli(other.path, ['split', '--prefix', 'a']);
  assert.equal(replaced.stdout.slice(0, 40), subtreeSplit(other, 'a').stdout.trim());
  assert.notEqual(replaced.stdout, plain.stdout);
});

test('prints no directory whose name would look like another line', async (t) => {
  const repository = createRepository(t);
  const commit = repository.commit('Forge a line', { 'p/a\n0123  p/b/x': 'x', 'q/b/x': 'x' });
  const made = await findRepository(repository.path);
  const error = await errorOf(expandPrefixes(made, commit, ['p/*']));
  assert.equal(error.code, 'invalid-prefix');
  assert.match(error.message, /"p\/a\\n0123 {2}p"/);
  assert.deepEqual(await expandPrefixes(made, commit, ['q/*']), ['q/b']);
});
