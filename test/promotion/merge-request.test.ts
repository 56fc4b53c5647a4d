import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import {
  type RequestOutcome,
  type RequestStep,
  requestMerge,
} from '../../src/promotion/merge-request.ts';
import { openRequests, type RequestAccess } from '../../src/promotion/open-requests.ts';
import { stepBranch } from '../../src/repo/request-text.ts';
import { cloneOf, createPlatform, type Platform } from '../support/platform.ts';
import { gitEnvironment, openRepository, type Repository } from '../support/repository.ts';
import {
  type RequestForgeStandIn,
  requestToken,
  serveRequests,
} from '../support/request-forges.ts';

const branch = stepBranch('canary', 'edge', ['orders']);
const file = 'manifests/edge.lock.json';
const never = new AbortController().signal;
const kinds = ['gitlab', 'github'] as const;

interface World {
  readonly platform: Platform;
  readonly bare: Repository;
  readonly forge: RequestForgeStandIn;
  /** Asks for a version of Orders in edge, from this clone or another. */
  ask(
    version: string,
    more?: Partial<RequestStep> & { from?: Repository },
  ): Promise<RequestOutcome>;
}

async function createWorld(t: TestContext, kind: (typeof kinds)[number]): Promise<World> {
  const platform = createPlatform(t, { rings: ['edge', 'canary'] });
  const bare = openRepository(platform.addRemote(t));
  const forge = await serveRequests(t, kind, bare.path);
  const ask: World['ask'] = async (version, { from = platform, ...more } = {}) =>
    requestMerge(await openAccess(from, forge), { ...stepTo(from, version), ...more }, never);
  return { platform, bare, forge, ask };
}

async function openAccess(
  clone: Repository,
  { kind, url }: RequestForgeStandIn,
): Promise<RequestAccess> {
  return openRequests(
    await findRepository(clone.path),
    { mergeRequests: { kind, url, project: 'acme/platform' } },
    'origin',
    { ...process.env, RINGLOCK_REQUEST_TOKEN: requestToken, RINGLOCK_REQUEST_URL: url },
    { retries: 1, retryDelayMs: 1 },
  );
}

function stepTo(clone: Repository, version: string): RequestStep {
  return {
    ...{ branch, target: 'main', source: 'main', again: false, dryRun: false },
    decide: async (tip) => {
      const before = clone.git('show', `${tip}:${file}`);
      const lock = JSON.parse(before);
      if (lock.modules.orders.version === version) return undefined;
      const from = lock.modules.orders.version;
      lock.modules.orders.version = version;
      return {
        ...{ path: file, text: `${JSON.stringify(lock, null, 2)}\n` },
        pins: {
          ring: 'edge',
          pins: [{ alias: 'orders', version, sha256: 'x' }],
          platform: undefined,
        },
        title: `Promote orders ${version} from canary to edge`,
        occasion: `${from} ${version}`,
        message: `Promote orders ${version} from canary to edge\n\nBecause.\n\nRinglock-Override: why\n`,
        describe: async (base, commit) => {
          assert.equal(clone.git('merge-base', base, commit), base);
          return `### orders ${from} → ${version}`;
        },
      };
    },
  };
}

const lockOf = ({ bare }: World, ref: string) => JSON.parse(bare.git('show', `${ref}:${file}`));
const open = ({ forge }: World) => forge.requests.filter(({ state }) => state === 'open');

for (const kind of kinds) {
  test(`${kind}: a step has one request, which follows the newest version`, async (t) => {
    const world = await createWorld(t, kind);
    const { platform, bare, forge, ask } = world;
    platform.write({ 'modules/Orders/new.txt': 'mine', [file]: 'mine, and no lock' });
    platform.git('add', '-A');
    platform.write({ 'README.md': 'also mine' });
    const [status, index] = [platform.git('status', '--porcelain'), platform.git('write-tree')];

    const first = await ask('1.1.0');
    assert.deepEqual([first.state, first.pushed, first.request?.number], ['opened', true, 1]);
    assert.equal(bare.git('rev-parse', branch), first.commit);
    assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
    assert.equal(bare.git('diff', '--name-only', 'main', branch), file);
    assert.equal(lockOf(world, branch).modules.orders.version, '1.1.0');
    const message = bare.git('log', '-1', '--format=%B', branch);
    assert.match(message, /\n\nRinglock-Override: why\nRinglock-Promotion: [0-9a-f]{64}$/);
    assert.equal(platform.git('status', '--porcelain'), status);
    assert.equal(platform.git('write-tree'), index);
    assert.equal(
      platform.git('for-each-ref', '--format=%(refname)', 'refs/heads'),
      'refs/heads/main',
    );

    const again = await ask('1.1.0');
    assert.deepEqual([again.state, again.pushed, again.commit], ['same', false, first.commit]);
    assert.deepEqual(forge.changes, ['POST']);

    const [request] = forge.requests;
    assert.ok(request);
    request.text = `Looks good to me.\n\n${request.text}`;
    assert.equal((await ask('1.1.0')).state, 'same', 'what a person wrote stays');
    const newer = await ask('1.2.0');
    assert.deepEqual([newer.state, newer.pushed, newer.request?.number], ['updated', true, 1]);
    assert.match(request.title, /1\.2\.0/);
    assert.match(request.text, /^### orders 1\.0\.0 → 1\.2\.0/);
    assert.equal(bare.git('rev-list', '--count', `main..${branch}`), '1');
    assert.deepEqual(forge.changes, ['POST', 'PUT 1']);
  });

  test(`${kind}: what a person has ended is not asked for again, a newer version is`, async (t) => {
    const world = await createWorld(t, kind);
    const { forge, bare, ask } = world;
    await ask('1.1.0');
    const [first] = forge.requests;
    assert.ok(first);
    first.state = 'closed';
    const closed = await ask('1.1.0');
    assert.deepEqual([closed.state, closed.request?.number, closed.pushed], ['closed', 1, false]);
    if (kind === 'gitlab') assert.equal(closed.request?.by, 'grace');
    bare.git('update-ref', '-d', `refs/heads/${branch}`);
    assert.equal((await ask('1.1.0')).state, 'closed', 'also once the branch is gone');
    assert.equal((await ask('1.2.0')).state, 'opened');
    const [, second] = forge.requests;
    assert.ok(second);
    second.state = 'merged';
    assert.equal((await ask('1.2.0')).state, 'merged', 'merged, and taken back since');
    assert.equal((await ask('1.1.0')).state, 'closed', 'the older one still is');
    assert.equal((await ask('1.1.0', { again: true })).state, 'opened');
    assert.deepEqual(forge.changes, ['POST', 'POST', 'POST']);
    assert.equal((await ask('1.0.0')).state, 'nothing');
  });

  test(`${kind}: two runs at once make one request`, async (t) => {
    const world = await createWorld(t, kind);
    const clones = [cloneOf(t, world.bare.path), cloneOf(t, world.bare.path)];
    const [one, other] = await Promise.all(clones.map((from) => world.ask('1.1.0', { from })));
    assert.equal(world.forge.requests.length, 1);
    assert.equal(one?.request?.number, 1);
    assert.equal(other?.request?.number, 1);
    assert.equal(lockOf(world, branch).modules.orders.version, '1.1.0');
    assert.equal((await world.ask('1.1.0')).state, 'same');
  });

  test(`${kind}: a forge that fails on the way is gone on with, and nothing is done twice`, async (t) => {
    const world = await createWorld(t, kind);
    const { forge, ask } = world;
    // Made, and the answer lost: the second time the forge says that there is one.
    forge.lostAnswers = 1;
    const first = await ask('1.1.0');
    assert.deepEqual([first.state, first.request?.number], ['same', 1]);
    assert.equal(forge.requests.length, 1);
    // Pushed, and the forge is away for longer than it is waited for.
    forge.received.length = 0;
    const gone = { status: 500, body: { message: 'no' } };
    const list = { status: 200, body: [] };
    forge.faults.push(gone, list, gone, gone);
    await assert.rejects(ask('1.2.0'), { code: 'forge-failed', exitCode: 3 });
    assert.equal(lockOf(world, branch).modules.orders.version, '1.2.0');
    const after = await ask('1.2.0');
    assert.deepEqual([after.state, after.pushed], ['updated', false]);
    assert.equal(open(world).length, 1);
    forge.faults.push({ status: 401, body: { message: '401 Unauthorized' } });
    await assert.rejects(ask('1.3.0'), (error: Error) => {
      assert.match(error.message, /refuses RINGLOCK_REQUEST_TOKEN \(401\)/);
      assert.ok(!error.message.includes(requestToken));
      return true;
    });
  });

  test(`${kind}: requests of forks and of other targets are not taken for the step's`, async (t) => {
    const world = await createWorld(t, kind);
    const { forge, ask } = world;
    await ask('1.1.0');
    const [own] = forge.requests;
    assert.ok(own);
    const text = own.text;
    own.state = 'closed';
    own.text = '';
    forge.requests.push(
      { ...own, number: 2, state: 'closed', text, isForks: true },
      { ...own, number: 3, state: 'open', text, isForks: true },
    );
    const opened = await ask('1.1.0');
    assert.deepEqual([opened.state, opened.request?.number], ['opened', 4]);
    const [, , fork, mine] = forge.requests;
    assert.equal(fork?.text, text);
    assert.ok(mine);
    mine.target = 'release';
    await assert.rejects(ask('1.2.0'), { code: 'request-elsewhere' });
    assert.equal(lockOf(world, branch).modules.orders.version, '1.1.0');
  });
}

test('a branch that somebody else has moved is not overwritten', async (t) => {
  const world = await createWorld(t, 'gitlab');
  const { bare, forge, ask } = world;
  await ask('1.1.0');
  const colleague = cloneOf(t, bare.path);
  colleague.git('checkout', '-q', branch);
  const theirs = colleague.commit('A note', { 'NOTES.md': 'wait for me\n' });
  colleague.git('push', '-q', 'origin', branch);
  assert.equal((await ask('1.1.0')).state, 'same', 'it still brings what is wanted');
  await assert.rejects(ask('1.2.0'), /has a commit that is not ringlock's: \w+ by Ada Developer/);
  assert.equal(bare.git('rev-parse', branch), theirs);
  assert.deepEqual(forge.changes, ['POST']);
});

test('a branch that moves between the look and the push is looked at again', async (t) => {
  const world = await createWorld(t, 'gitlab');
  const { bare, ask } = world;
  const colleague = cloneOf(t, bare.path);
  const step = stepTo(colleague, '1.1.0');
  let calls = 0;
  const raced = await ask('1.1.0', {
    from: colleague,
    decide: async (tip) => {
      calls += 1;
      // Another run does the whole step meanwhile.
      if (calls === 1) await world.ask('1.1.0');
      const change = await step.decide(tip, tip);
      return change && { ...change, message: 'In other words' };
    },
  });
  assert.deepEqual([raced.state, raced.pushed, calls], ['same', false, 2]);
  const moved = ask('1.2.0', {
    from: colleague,
    decide: async (tip) => {
      bare.git(
        'update-ref',
        `refs/heads/${branch}`,
        bare.git('commit-tree', '-p', tip, '-m', 'x', `${tip}^{tree}`),
      );
      return stepTo(colleague, '1.2.0').decide(tip, tip);
    },
  });
  await assert.rejects(moved, { code: 'foreign-branch' });
});

test('a request is made anew on the target where that has moved below it', async (t) => {
  const world = await createWorld(t, 'gitlab');
  const { platform, bare, ask } = world;
  const first = await ask('1.1.0');
  platform.commit('Something else', { 'README.md': 'new\n' });
  platform.git('push', '-q', 'origin', 'main');
  const still = await ask('1.1.0');
  assert.deepEqual(
    [still.state, still.commit],
    ['same', first.commit],
    'no approval is lost for it',
  );
  const lock = platform.read(file).replace('"version": "0.3.0"', '"version": "0.3.1"');
  platform.commit('Another promotion', { [file]: lock });
  platform.git('push', '-q', 'origin', 'main');
  const anew = await ask('1.1.0');
  assert.deepEqual([anew.state, anew.pushed], ['same', true]);
  assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
  assert.equal(lockOf(world, branch).modules['mobile-app'].version, '0.3.1');
  // The very lines that the request changes: its lock is right, and the forge could not merge it.
  const hotfixed = JSON.parse(platform.read(file));
  hotfixed.modules.orders.version = '1.0.1';
  platform.commit('A hotfix', { [file]: `${JSON.stringify(hotfixed, null, 2)}\n` });
  platform.git('push', '-q', 'origin', 'main');
  const again = await ask('1.1.0');
  assert.deepEqual([again.pushed, again.request?.number], [true, 1]);
  assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
});

test('a server that refuses the push is no race', async (t) => {
  const { bare, forge, ask } = await createWorld(t, 'gitlab');
  bare.write({ 'hooks/update': '#!/bin/sh\necho "GitLab: protected" >&2\nexit 1\n' });
  execFileSync('chmod', ['+x', 'hooks/update'], { cwd: bare.path, env: gitEnvironment });
  await assert.rejects(ask('1.1.0'), ({ code, message }: { code: string; message: string }) => {
    assert.equal(code, 'request-push-rejected');
    assert.match(message, /GitLab: protected/);
    return true;
  });
  assert.deepEqual(forge.changes, []);
  await assert.rejects(ask('1.1.0', { target: 'release' }), { code: 'deploy-branch-missing' });
});
