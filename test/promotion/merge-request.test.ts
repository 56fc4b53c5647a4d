import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { refused } from '../../src/errors.ts';
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

const file = 'manifests/edge.lock.json';
const never = new AbortController().signal;

interface World {
  readonly platform: Platform;
  readonly bare: Repository;
}

/** One step with a forge of its own; the repository is shared. */
interface Step {
  readonly branch: string;
  readonly forge: RequestForgeStandIn;
  /** Asks for a version of Orders in edge, from the platform or a clone. */
  ask(
    version: string,
    more?: Partial<RequestStep> & { readonly from?: Repository; readonly message?: string },
  ): Promise<RequestOutcome>;
}

function createWorld(t: TestContext): World {
  const modules = [{ directory: 'Orders', alias: 'orders', version: '1.0.0' }];
  const platform = createPlatform(t, { rings: ['edge', 'canary'], modules });
  return { platform, bare: openRepository(platform.addRemote(t)) };
}

async function createStep(
  t: TestContext,
  { platform, bare }: World,
  kind: 'gitlab' | 'github' = 'gitlab',
): Promise<Step> {
  const forge = await serveRequests(t, kind, bare.path);
  const branch = stepBranch('canary', 'edge', [`step-${new URL(forge.url).port}`]);
  const ask: Step['ask'] = async (version, { from = platform, message, ...more } = {}) => {
    const step = { ...stepTo(from, branch, version, message), ...more };
    return requestMerge(await openAccess(from, forge), step, never);
  };
  return { branch, forge, ask };
}

async function openAccess(
  clone: Repository,
  { kind, url }: RequestForgeStandIn,
): Promise<RequestAccess> {
  return openRequests(
    await findRepository(clone.path),
    { mergeRequests: { kind, url, project: 'acme/platform' } },
    {
      remoteName: 'origin',
      environment: {
        ...process.env,
        RINGLOCK_REQUEST_TOKEN: requestToken,
        RINGLOCK_REQUEST_URL: url,
      },
      trust: {},
    },
    { retries: 1, retryDelayMs: 1 },
  );
}

function stepTo(
  clone: Repository,
  branch: string,
  version: string,
  words = 'Because.',
): RequestStep {
  return {
    ...{ branch, target: 'main', source: 'main', again: false, dryRun: false },
    decide: async (tip) => {
      const lock = JSON.parse(clone.git('show', `${tip}:${file}`));
      const from = lock.modules.orders.version;
      if (from === version) return undefined;
      lock.modules.orders.version = version;
      const title = `Promote orders ${version} from canary to edge`;
      return {
        ...{ path: file, text: `${JSON.stringify(lock, null, 2)}\n`, title },
        pins: {
          ...{ ring: 'edge', pins: [{ alias: 'orders', version, sha256: 'x' }] },
          platform: undefined,
        },
        message: `${title}\n\n${words}\n---\n\nRinglock-Override: why\n`,
        occasion: `${from} ${version}`,
        describe: async (base, commit) => {
          assert.equal(clone.git('merge-base', base, commit), base);
          return `### orders ${from} → ${version}`;
        },
      };
    },
  };
}

const ordersAt = (bare: Repository, ref: string) =>
  JSON.parse(bare.git('show', `${ref}:${file}`)).modules.orders.version;

for (const kind of ['gitlab', 'github'] as const) {
  test(`on ${kind}`, async (t) => {
    const world = createWorld(t);
    const { platform, bare } = world;

    await t.test('a step has one request, which follows the newest version', async (s) => {
      const { branch, forge, ask } = await createStep(s, world, kind);
      platform.write({ 'modules/Orders/new.txt': 'mine', [file]: 'mine, and no lock' });
      platform.git('add', '-A');
      platform.write({ 'README.md': 'also mine' });
      const [status, index] = [platform.git('status', '--porcelain'), platform.git('write-tree')];

      assert.equal((await ask('1.1.0', { dryRun: true })).state, 'would-open');
      assert.equal(bare.tryGit('rev-parse', '-q', '--verify', branch).status, 1);
      assert.deepEqual(forge.changes, []);
      const first = await ask('1.1.0');
      assert.deepEqual([first.state, first.pushed, first.request?.number], ['opened', true, 1]);
      assert.equal(bare.git('rev-parse', branch), first.commit);
      assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
      assert.equal(bare.git('diff', '--name-only', 'main', branch), file);
      assert.equal(ordersAt(bare, branch), '1.1.0');
      const message = bare.git('log', '-1', '--format=%B', branch);
      assert.match(message, /---\n\nRinglock-Override: why\nRinglock-Promotion: [0-9a-f]{64}$/);
      assert.equal(platform.git('status', '--porcelain'), status);
      assert.equal(platform.git('write-tree'), index);
      const heads = platform.git('for-each-ref', '--format=%(refname)', 'refs/heads');
      assert.equal(heads, 'refs/heads/main');

      const again = await ask('1.1.0');
      assert.deepEqual([again.state, again.pushed, again.commit], ['same', false, first.commit]);
      assert.deepEqual(forge.changes, ['POST']);
      const [request] = forge.requests;
      assert.ok(request);
      request.text = `Looks good to me.\n\n${request.text}`;
      const edited = kind === 'github' ? 'same' : (await ask('1.1.0')).state;
      assert.equal(edited, 'same', 'what a person wrote stays');
      assert.equal((await ask('1.2.0', { dryRun: true })).state, 'would-update');
      const newer = await ask('1.2.0');
      assert.deepEqual([newer.state, newer.pushed, newer.request?.number], ['updated', true, 1]);
      assert.match(request.title, /1\.2\.0/);
      assert.match(request.text, /^### orders 1\.0\.0 → 1\.2\.0/);
      assert.equal(bare.git('rev-list', '--count', `main..${branch}`), '1');
      assert.deepEqual(forge.changes, ['POST', 'PUT 1']);
      platform.git('reset', '-q', '--hard');
    });

    await t.test('what a person has ended is not asked for again', async (s) => {
      const { branch, forge, ask } = await createStep(s, world, kind);
      await ask('1.1.0');
      const [first] = forge.requests;
      assert.ok(first);
      first.state = 'closed';
      const closed = await ask('1.1.0');
      assert.deepEqual([closed.state, closed.request?.number, closed.pushed], ['closed', 1, false]);
      if (kind === 'gitlab') assert.equal(closed.request?.by, 'grace');
      bare.git('update-ref', '-d', `refs/heads/${branch}`);
      first.state = 'merged';
      assert.equal((await ask('1.1.0')).state, 'merged', 'merged, and taken back since');
      if (kind === 'github') return;
      assert.equal((await ask('1.2.0')).state, 'opened');
      const [, second] = forge.requests;
      assert.ok(second);
      second.state = 'closed';
      assert.equal((await ask('1.1.0', { again: true })).state, 'opened');
      assert.equal((await ask('1.0.0')).state, 'nothing');
      assert.deepEqual(forge.changes, ['POST', 'POST', 'POST']);
    });

    await t.test('a forge that fails on the way is gone on with', async (s) => {
      const { branch, forge, ask } = await createStep(s, world, kind);
      // Made, and the answer lost: the second time the forge says that there is one.
      forge.lostAnswers = 1;
      const first = await ask('1.1.0');
      assert.deepEqual([first.state, first.request?.number], ['same', 1]);
      assert.equal(forge.requests.length, 1);
      if (kind === 'github') return;
      // Pushed, and the forge is away for longer than it is waited for.
      const gone = { status: 500, body: { message: 'no' } };
      forge.faults.push(gone, { status: 200, body: [] }, gone, gone);
      await assert.rejects(ask('1.2.0'), { code: 'forge-failed', exitCode: 3 });
      assert.equal(ordersAt(bare, branch), '1.2.0');
      const after = await ask('1.2.0');
      assert.deepEqual([after.state, after.pushed], ['updated', false]);
      assert.equal(forge.requests.length, 1);
      forge.faults.push({ status: 401, body: { message: '401 Unauthorized' } });
      await assert.rejects(ask('1.3.0'), (error: Error) => {
        assert.match(error.message, /refuses RINGLOCK_REQUEST_TOKEN \(401\)/);
        assert.ok(!error.message.includes(requestToken));
        return true;
      });
    });

    await t.test('requests of forks and other targets are not the step’s', async (s) => {
      const { branch, forge, ask } = await createStep(s, world, kind);
      await ask('1.1.0');
      const [own] = forge.requests;
      assert.ok(own);
      const { text } = own;
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
      assert.equal(ordersAt(bare, branch), '1.1.0');
    });

    if (kind === 'gitlab') await othersAtWork(t, world);
  });
}

async function othersAtWork(t: TestContext, world: World): Promise<void> {
  const { platform, bare } = world;
  const colleague = cloneOf(t, bare.path);

  await t.test('two runs at once make one request', async (s) => {
    const { branch, forge, ask } = await createStep(s, world);
    const [one, other] = await Promise.all([
      ask('1.1.0'),
      ask('1.1.0', { from: colleague, message: 'In other words.' }),
    ]);
    assert.deepEqual([one.request?.number, other.request?.number], [1, 1]);
    assert.equal(forge.requests.length, 1);
    assert.equal(ordersAt(bare, branch), '1.1.0');
    assert.equal((await ask('1.1.0')).state, 'same');
  });

  await t.test('a branch that moves between look and push is looked at again', async (s) => {
    const { branch, ask } = await createStep(s, world);
    let calls = 0;
    const raced = await ask('1.1.0', {
      decide: async (tip) => {
        calls += 1;
        // Another run does the whole step meanwhile.
        if (calls === 1) await ask('1.1.0');
        return stepTo(platform, branch, '1.1.0', 'In other words.').decide(tip, tip);
      },
    });
    assert.deepEqual([raced.state, raced.pushed, calls], ['same', false, 2]);
    const moved = ask('1.2.0', {
      decide: async (tip) => {
        const theirs = bare.git('commit-tree', '-p', tip, '-m', 'x', `${tip}^{tree}`);
        bare.git('update-ref', `refs/heads/${branch}`, theirs);
        return stepTo(platform, branch, '1.2.0').decide(tip, tip);
      },
    });
    await assert.rejects(moved, { code: 'foreign-branch' });
  });

  await t.test('a branch that somebody else has moved is not overwritten', async (s) => {
    const { branch, forge, ask } = await createStep(s, world);
    await ask('1.1.0');
    colleague.git('fetch', '-q', 'origin', branch);
    colleague.git('checkout', '-q', '--detach', 'FETCH_HEAD');
    const theirs = colleague.commit('A note', { 'NOTES.md': 'wait for me\n' });
    colleague.git('push', '-q', 'origin', `HEAD:refs/heads/${branch}`);
    assert.equal((await ask('1.1.0')).state, 'same', 'it still brings what is wanted');
    await assert.rejects(ask('1.2.0'), /has a commit that is not ringlock's: \w+ by Ada Developer/);
    assert.equal(bare.git('rev-parse', branch), theirs);
    assert.deepEqual(forge.changes, ['POST']);
  });

  await t.test('a request is made anew where the target has moved below it', async (s) => {
    const { branch, ask } = await createStep(s, world);
    const first = await ask('1.1.0');
    const push = (message: string, files: Record<string, string>) => {
      platform.commit(message, files);
      platform.git('push', '-q', 'origin', 'main');
    };
    push('Something else', { 'README.md': 'new\n' });
    const still = await ask('1.1.0');
    assert.deepEqual([still.state, still.commit], ['same', first.commit], 'approvals stay');
    const lock = JSON.parse(platform.read(file));
    const text = () => `${JSON.stringify(lock, null, 2)}\n`;
    lock.platform = '2.1.0';
    push('Another promotion', { [file]: text() });
    const anew = await ask('1.1.0');
    assert.deepEqual([anew.state, anew.pushed], ['same', true]);
    assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
    assert.match(bare.git('show', `${branch}:${file}`), /"platform": "2\.1\.0"/);
    // The very lines that the request changes: its lock is right, and the forge could not merge it.
    lock.modules.orders.version = '1.0.1';
    push('A hotfix', { [file]: text() });
    const again = await ask('1.1.0');
    assert.deepEqual([again.pushed, again.request?.number], [true, 1]);
    assert.equal(bare.git('rev-parse', `${branch}^`), bare.git('rev-parse', 'main'));
  });

  await t.test('a server that refuses the push is no race', async (s) => {
    const { forge, ask } = await createStep(s, world);
    await assert.rejects(ask('1.1.0', { target: 'release' }), { code: 'deploy-branch-missing' });
    const refusal = refused('held', 'orders is held at 1.0.0 in edge');
    await assert.rejects(ask('1.1.0', { decide: () => Promise.reject(refusal) }), { code: 'held' });
    assert.deepEqual(forge.changes, []);
    bare.write({ 'hooks/update': '#!/bin/sh\necho "GitLab: protected" >&2\nexit 1\n' });
    execFileSync('chmod', ['+x', 'hooks/update'], { cwd: bare.path, env: gitEnvironment });
    await assert.rejects(ask('1.1.0'), ({ code, message }: { code: string; message: string }) => {
      assert.equal(code, 'request-push-rejected');
      assert.match(message, /GitLab: protected/);
      return true;
    });
    assert.deepEqual(forge.changes, []);
  });
}
