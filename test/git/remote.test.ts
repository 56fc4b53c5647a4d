import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { isAncestor } from '../../src/git/ancestry.ts';
import { fetchCommitted } from '../../src/git/committed-files.ts';
import { firstMissingBelow } from '../../src/git/completeness.ts';
import { openObjectDatabase } from '../../src/git/object-database.ts';
import type { GitServerOptions } from '../support/git-server.ts';
import { gitEnvironment, type Repository } from '../support/repository.ts';
import { serveRepository } from '../support/served-repository.ts';

const servers: readonly { readonly name: string; readonly options: GitServerOptions }[] = [
  { name: 'protocol 2 with filters', options: {} },
  { name: 'protocol 2 without filters', options: { allowFilter: false } },
  { name: 'the older protocol', options: { protocolV2: false } },
  {
    name: 'the older protocol without filters',
    options: { protocolV2: false, allowFilter: false },
  },
  {
    name: 'the older protocol handing out any object',
    options: { protocolV2: false, config: { 'uploadpack.allowAnySHA1InWant': 'true' } },
  },
];

function commitPlatform(repository: Repository): string {
  return repository.commit('Start', {
    VERSION: '2.0.0\n',
    'manifests/canary.lock.json': '{"a": 1}\n',
    'manifests/schema/lock.schema.json': '{}\n',
    'modules/Orders/module.json': '{"alias": "orders"}\n',
    'modules/Orders/src/orders.php': '<?php // 1\n',
    'modules/Products/module.json': '{"alias": "products"}\n',
    'modules/Products/catalogue.bin': noise(200_000, 1),
  });
}

/** Bytes that do not compress, the same for the same seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

for (const { name, options } of servers) {
  test(`follows a branch over ${name}: first contact, then what came since`, async (t) => {
    const { repository, remote: open, database, publish } = await serveRepository(t, options);
    commitPlatform(repository);
    const oldOrders = repository.git('rev-parse', 'HEAD:modules/Orders');
    const first = repository.commit('Change', { 'modules/Orders/src/orders.php': '<?php // 2\n' });
    publish();
    const remote = open();
    const tip = await remote.resolveBranch('main');
    assert.equal(tip, first);
    await remote.fetchCommits(tip, undefined);
    assert.equal((await database.readCommit(tip)).message, 'Change\n');

    const committed = await fetchCommitted(remote, database, tip);
    assert.equal(await committed.readText('VERSION'), '2.0.0\n');
    assert.equal(await committed.readText('manifests/canary.lock.json'), '{"a": 1}\n');
    // What lies below a directory there is never read.
    assert.deepEqual(committed.manifestPaths, ['manifests/canary.lock.json']);

    // A pinned ring's module may be older than anything in the tip.
    const orders = repository.git('rev-parse', 'HEAD:modules/Orders');
    await remote.fetchTrees([orders, oldOrders]);
    assert.equal(await firstMissingBelow(database, orders), undefined);
    assert.equal(await firstMissingBelow(database, oldOrders), undefined);

    repository.git('checkout', '-q', '-b', 'topic', `${first}~1`);
    const side = repository.commit('Aside', { 'modules/Products/aside.txt': 'aside\n' });
    repository.git('checkout', '-q', 'main');
    const between = repository.commit('Between', { 'manifests/canary.lock.json': '{"a": 2}\n' });
    repository.git('merge', '-q', '--no-edit', 'topic');
    // Back to bytes that only history before the first contact has.
    repository.commit('Return', { 'modules/Orders/src/orders.php': '<?php // 1\n' });
    publish();
    const next = await remote.resolveBranch('main');
    await remote.fetchCommits(next, tip);
    assert.equal(await isAncestor(database, tip, next), true);
    for (const oid of [side, between]) assert.equal(await database.has(oid), true, oid);
    const later = await fetchCommitted(remote, database, next, tip);
    assert.equal(await later.readText('manifests/canary.lock.json'), '{"a": 2}\n');
    const trees = ['Orders', 'Products'].map((module) =>
      repository.git('rev-parse', `HEAD:modules/${module}`),
    );
    await remote.fetchTrees(trees, { have: [orders] });
    for (const tree of trees) assert.equal(await firstMissingBelow(database, tree), undefined);
  });

  test(`a rewritten branch is no descendant, over ${name}`, async (t) => {
    const { repository, remote: open, database, publish } = await serveRepository(t, options);
    commitPlatform(repository);
    const old = repository.commit('Old', { 'a.txt': 'old\n' });
    publish();
    const remote = open();
    await remote.fetchCommits(old, undefined);
    repository.git('reset', '-q', '--hard', 'HEAD~1');
    const rewritten = repository.commit('New', { 'a.txt': 'new\n' });
    publish();
    const tip = await remote.resolveBranch('main');
    assert.equal(tip, rewritten);
    await remote.fetchCommits(tip, old);
    assert.equal(await isAncestor(database, old, tip), false);
    assert.equal((await database.readCommit(tip)).message, 'New\n');
  });

  test(`an anchor that only the ring remembers proves descent, over ${name}`, async (t) => {
    const { repository, remote: open, database, publish } = await serveRepository(t, options);
    const anchor = commitPlatform(repository);
    repository.commit('One', { 'a.txt': '1\n' });
    const tip = repository.commit('Two', { 'a.txt': '2\n' });
    publish();
    const remote = open();
    await remote.fetchCommits(tip, anchor);
    assert.equal(await isAncestor(database, anchor, tip), true);
    await remote.fetchCommits(tip, tip);
    assert.equal(await database.has(tip), true);
  });
}

test('a server without filters hears which history is not here, and sends what changed at once', async (t) => {
  const options = { allowFilter: false };
  const { repository, remote: open, publish, server, bare } = await serveRepository(t, options);
  commitPlatform(repository);
  const first = repository.commit('Change', { 'modules/Orders/src/orders.php': '<?php // 2\n' });
  publish();
  const remote = open();
  const contact = await remote.fetchCommits(first, undefined);
  repository.commit('Return', { 'modules/Orders/src/orders.php': '<?php // 1\n' });
  publish();
  // With bitmaps a server leaves out all that our history has, not only what our last commit has.
  execFileSync('git', ['repack', '-adbq'], { cwd: bare, env: gitEnvironment });
  server.requests.length = 0;
  const next = await remote.fetchCommits(await remote.resolveBranch('main'), first);
  assert.deepEqual(
    server.requests.map(({ kind }) => kind),
    ['ls-refs', 'fetch'],
  );
  assert.ok(next.bytes * 10 < contact.bytes, `${next.bytes} after ${contact.bytes}`);
});

test('installs one module of a large repository for about that tree’s pack', async (t) => {
  const { repository, remote: open, publish, server } = await serveRepository(t);
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 40; i++) files[`modules/Orders/f${i}.bin`] = noise(3000, i + 1);
  for (let i = 0; i < 40; i++) files[`modules/Large/f${i}.bin`] = noise(100_000, i + 100);
  commitPlatform(repository);
  repository.commit('Grow', files);
  publish();
  const remote = open();
  const orders = repository.git('rev-parse', 'HEAD:modules/Orders');
  const tip = await remote.resolveBranch('main');
  await remote.fetchCommits(tip, undefined);
  server.requests.length = 0;
  const stats = await remote.fetchTrees([orders]);
  assert.equal(stats.requests, 1);
  assert.equal(stats.bytes, server.requests[0]?.responseBytes);
  const floor = packSize(repository, orders);
  assert.ok(stats.bytes <= floor * 1.1, `${stats.bytes} bytes for a pack of ${floor}`);
});

function packSize(repository: Repository, tree: string): number {
  const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: `${tree}\n`,
    maxBuffer: 1 << 30,
  });
  return stdout.length;
}

test('20,000 commits cost what ten cost', async (t) => {
  const costOf = async (commits: number) => {
    const { repository, remote: open, database, publish } = await serveRepository(t);
    importHistory(repository, commits);
    publish();
    const remote = open();
    const tip = await remote.resolveBranch('main');
    const commit = await remote.fetchCommits(tip, undefined);
    const orders = repository.git('rev-parse', 'main:modules/Orders');
    const tree = await remote.fetchTrees([orders]);
    assert.equal(await firstMissingBelow(database, orders), undefined);
    const rewound = await remote.fetchCommits(repository.git('rev-parse', 'main~3'), tip);
    const forgotten = await remote.fetchCommits(
      repository.git('rev-parse', 'main~5'),
      '1234567812345678123456781234567812345678',
    );
    return { commit, tree, rewound, forgotten };
  };
  const few = await costOf(10);
  const many = await costOf(20_000);
  for (const part of ['commit', 'tree', 'rewound', 'forgotten'] as const) {
    assert.equal(many[part].requests, few[part].requests, part);
    assert.equal(many[part].objects, few[part].objects, part);
    const more = many[part].bytes - few[part].bytes;
    assert.ok(Math.abs(more) < 200, `${part}: ${more} bytes more`);
  }
});

function importHistory(repository: Repository, commits: number): void {
  const lines: string[] = [];
  for (let i = 0; i < commits; i++) {
    const content = `<?php // ${i % 7}\n`;
    lines.push(
      'commit refs/heads/main',
      `committer Ada <ada@example.com> ${1_700_000_000 + i} +0000`,
      'data 4\nstep',
      `M 100644 inline modules/Orders/f${i % 10}.php\ndata ${content.length}\n${content}`,
    );
  }
  execFileSync('git', ['fast-import', '--quiet'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: `${lines.join('\n')}\n`,
  });
}

test('a branch with slashes in its name is followed, and none that only starts like it', async (t) => {
  const { repository, remote: open, publish } = await serveRepository(t);
  commitPlatform(repository);
  repository.git('branch', 'release/2.x/hot');
  const other = repository.commit('More');
  repository.git('branch', 'release/2.x/hotter');
  publish();
  const remote = open();
  assert.equal(
    await remote.resolveBranch('release/2.x/hot'),
    repository.git('rev-parse', 'HEAD~1'),
  );
  assert.equal(await remote.resolveBranch('release/2.x/hotter'), other);
  await assert.rejects(remote.resolveBranch('release/2.x'), { code: 'branch-not-found' });
});

for (const protocolV2 of [true, false]) {
  const protocol = protocolV2 ? 'protocol 2' : 'the older protocol';

  test(`a missing branch is named with those there are, over ${protocol}`, async (t) => {
    const { repository, remote: open, publish } = await serveRepository(t, { protocolV2 });
    commitPlatform(repository);
    repository.git('branch', 'develop');
    repository.git('tag', 'v1');
    publish();
    const remote = open();
    await assert.rejects(remote.resolveBranch('master'), {
      code: 'branch-not-found',
      message: /has no branch master; there are develop, main$/,
    });
    await assert.rejects(remote.resolveBranch('v1'), {
      message: /v1 is a tag of .*expected a branch/,
    });
    const commit = repository.git('rev-parse', 'HEAD');
    await assert.rejects(remote.resolveBranch(commit), { message: /is a commit id of/ });
    assert.equal(await remote.resolveBranch('main'), commit);
  });

  test(`an empty repository says that it is, over ${protocol}`, async (t) => {
    const { remote: open, repository, publish } = await serveRepository(t, { protocolV2 });
    const remote = open();
    await assert.rejects(remote.resolveBranch('main'), {
      code: 'remote-empty',
      message: /has no branches yet/,
    });
    const tip = commitPlatform(repository);
    publish();
    assert.equal(await remote.resolveBranch('main'), tip);
  });
}

test('an unchanged branch costs one small request', async (t) => {
  const { repository, remote: open, publish, server } = await serveRepository(t);
  const tip = commitPlatform(repository);
  publish();
  const remote = open();
  await remote.resolveBranch('main');
  await remote.fetchCommits(tip, undefined);
  server.requests.length = 0;
  assert.equal(await remote.resolveBranch('main'), tip);
  assert.deepEqual(await remote.fetchCommits(tip, tip), { bytes: 0, requests: 0, objects: 0 });
  assert.deepEqual(
    server.requests.map(({ kind }) => kind),
    ['ls-refs'],
  );
});

test('a tree that no commit has is refused, and named', async (t) => {
  const { repository, remote: open, publish } = await serveRepository(t);
  commitPlatform(repository);
  publish();
  const absent = '1234567812345678123456781234567812345678';
  await assert.rejects(open().fetchTrees([absent]), {
    code: 'remote-lacks-object',
    message: /1234567812345678/,
  });
});

test('git itself finds the fetched module whole', async (t) => {
  const { repository, remote: open, database, publish } = await serveRepository(t);
  // Many versions of one file, so that the server sends deltas.
  for (let i = 0; i < 12; i++) {
    const text = Array.from({ length: 400 }, (_, line) => `line ${line} ${line % 12 === i}`);
    commitPlatform(repository);
    repository.commit(`Step ${i}`, { [`modules/Orders/v${i}.txt`]: text.join('\n') });
  }
  publish();
  repository.git('repack', '-adq');
  const orders = repository.git('rev-parse', 'HEAD:modules/Orders');
  await open().fetchTrees([orders]);
  const listed = (gitdir: string) =>
    execFileSync('git', ['ls-tree', '-r', orders], { cwd: gitdir, env: gitEnvironment }).toString();
  assert.equal(listed(database.gitdir), listed(repository.path));
  execFileSync('git', ['fsck', '--strict'], { cwd: database.gitdir, env: gitEnvironment });
  for (const entry of await database.readTree(orders)) {
    if (entry.mode === '040000') continue;
    const expected = execFileSync('git', ['cat-file', 'blob', entry.oid], { cwd: repository.path });
    assert.deepEqual(Buffer.from(await database.readBlob(entry.oid)), expected);
  }
});

test('a blob of 20 MB arrives whole', async (t: TestContext) => {
  const { repository, remote: open, database, publish } = await serveRepository(t);
  const content = noise(20_000_000, 7);
  repository.commit('Large', { 'modules/Large/data.bin': content });
  publish();
  await open().fetchTrees([repository.git('rev-parse', 'HEAD:modules/Large')]);
  const blob = repository.git('rev-parse', 'HEAD:modules/Large/data.bin');
  assert.equal(Buffer.compare(await database.readBlob(blob), content), 0);
  const again = await openObjectDatabase(join(database.gitdir));
  assert.equal(await again.has(blob), true);
});
