import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { isAncestor } from '../../src/git/ancestry.ts';
import { fetchCommitted } from '../../src/git/committed-files.ts';
import { firstMissingBelow } from '../../src/git/completeness.ts';
import { type ObjectDatabase, openObjectDatabase } from '../../src/git/object-database.ts';
import { openRemote } from '../../src/git/open-remote.ts';
import { createRepository, gitEnvironment, type Repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function openEmpty(t: TestContext): Promise<ObjectDatabase> {
  return openObjectDatabase(join(temporaryDirectory(t, 'root'), 'repo.git'));
}

function commitPlatform(repository: Repository): string {
  return repository.commit('Start', {
    VERSION: '2.0.0\n',
    'manifests/canary.lock.json': '{}\n',
    'modules/Orders/module.json': '{}\n',
    'modules/Orders/src/run.sh': 'exit 0\n',
  });
}

type Place = (t: TestContext, repository: Repository) => string;

function cloned(...options: string[]): Place {
  return (t, repository) => {
    const path = join(temporaryDirectory(t), 'copy');
    execFileSync('git', ['clone', '-q', ...options, repository.path, path], {
      env: gitEnvironment,
    });
    return path;
  };
}

const places: Readonly<Record<string, Place>> = {
  'a work tree': (_, repository) => repository.path,
  'a file URL': (_, repository) => pathToFileURL(repository.path).href,
  'a bare repository with packs and packed refs': (t, repository) => {
    const path = cloned('--bare')(t, repository);
    execFileSync('git', ['gc', '-q'], { cwd: path, env: gitEnvironment });
    return path;
  },
  'a linked work tree': (t, repository) => {
    const path = join(temporaryDirectory(t), 'linked');
    repository.git('worktree', 'add', '-q', '-b', 'other', path);
    return path;
  },
  'a clone that shares its objects': cloned('--shared'),
};

for (const [name, place] of Object.entries(places)) {
  test(`fetches from ${name}`, async (t) => {
    const repository = createRepository(t);
    commitPlatform(repository);
    const tip = repository.commit('More', { 'modules/Orders/src/more.php': '<?php\n' });
    const database = await openEmpty(t);
    const remote = openRemote(place(t, repository), database);
    assert.equal(await remote.resolveBranch('main'), tip);
    await remote.fetchCommits(tip, undefined);
    assert.equal(await database.has(repository.git('rev-parse', 'HEAD~1')), false);
    const committed = await fetchCommitted(remote, database, tip);
    assert.equal(await committed.readText('VERSION'), '2.0.0\n');
    const orders = repository.git('rev-parse', 'HEAD:modules/Orders');
    // The module.json is the same blob as the lock, which is here.
    const stats = await remote.fetchTrees([orders]);
    assert.deepEqual(stats, { bytes: 0, requests: 0, objects: 4 });
    assert.equal(await firstMissingBelow(database, orders), undefined);
    assert.equal((await remote.fetchTrees([orders])).objects, 0);
    await assert.rejects(remote.resolveBranch('release'), {
      code: 'branch-not-found',
      message: /there are main/,
    });
  });
}

test('brings every commit between, merged branches too, and no other', async (t) => {
  const repository = createRepository(t);
  const root = commitPlatform(repository);
  const last = repository.commit('Last', { 'a.txt': '1\n' });
  repository.git('checkout', '-q', '-b', 'topic', root);
  const side = repository.commit('Aside', { 'b.txt': '1\n' });
  repository.git('checkout', '-q', 'main');
  const between = repository.commit('Between', { 'a.txt': '2\n' });
  repository.git('merge', '-q', '--no-edit', 'topic');
  const tip = repository.git('rev-parse', 'HEAD');
  const database = await openEmpty(t);
  const remote = openRemote(repository.path, database);
  await remote.fetchCommits(tip, last);
  for (const oid of [tip, side, between]) assert.equal(await database.has(oid), true);
  for (const oid of [last, root]) assert.equal(await database.has(oid), false);
  assert.equal(await isAncestor(database, last, tip), true);
});

test('says what is wrong with a path, a SHA-256 repository and an absent object', async (t) => {
  const database = await openEmpty(t);
  const resolve = (path: string) => openRemote(path, database).resolveBranch('main');
  await assert.rejects(resolve('/nowhere/at/all'), {
    code: 'remote-unreachable',
    message: '/nowhere/at/all does not exist, expected a repository',
  });
  await assert.rejects(resolve(temporaryDirectory(t)), { message: /is no git repository$/ });
  const other = createRepository(t, '--object-format=sha256');
  other.commit('Start');
  await assert.rejects(resolve(other.path), {
    code: 'unsupported-object-format',
    message: /uses sha256 object ids, expected sha1$/,
  });
  const empty = createRepository(t);
  await assert.rejects(resolve(empty.path), { code: 'remote-empty' });
  const absent = '1234567812345678123456781234567812345678';
  commitPlatform(empty);
  await assert.rejects(openRemote(empty.path, database).fetchTrees([absent]), {
    code: 'remote-lacks-object',
  });
  await assert.rejects(openRemote(empty.path, database).fetchCommits(absent, undefined), {
    code: 'remote-lacks-object',
  });
});
