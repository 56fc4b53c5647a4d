import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { findVersionProblems } from '../../src/ci/version-findings.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import {
  commitBump,
  commitLocked,
  createPushedPlatform,
  mergeRequest,
  type PushedPlatform,
  rangeOf,
  runnerClone,
} from '../support/pipeline.ts';
import type { Repository } from '../support/repository.ts';

/** One platform for all: each test has branches of its own. */
let platform: PushedPlatform;

before((t) => {
  platform = createPushedPlatform(t as TestContext);
  // Released and reverted, and released by a tag alone: both versions stay taken.
  commitBump(platform, 'Orders', '1.0.1');
  platform.git('revert', '--no-edit', 'HEAD');
  platform.git('checkout', '-qb', 'hotfix');
  commitBump(platform, 'Products', '1.0.9');
  platform.git('tag', 'products@1.0.9');
  platform.git('checkout', '-q', 'main');
  for (let at = 0; at < 4; at++) platform.commit(`Else ${at}`);
  platform.git('push', '-q', 'origin', 'main', 'products@1.0.9');
});

/** `check alias` of each finding. */
async function found(
  clone: Repository,
  environment: Record<string, string> = mergeRequest,
  request: Parameters<typeof rangeOf>[2] = {},
): Promise<string[]> {
  const { repository, range } = await rangeOf(clone, environment, request);
  const { findings } = await findVersionProblems(repository, range);
  return findings.map(({ check, alias }) => `${check} ${alias}`);
}

function branch(name: string, from = 'main'): void {
  platform.git('checkout', '-qb', name, from);
}

/** What a runner has of a commit that was pushed to a ref. */
function runner(t: TestContext, ref: string, depth?: number): Repository {
  platform.git('push', '-q', 'origin', `HEAD:${ref}`);
  return runnerClone(t, platform.origin, ref, depth);
}

test('a depth-1 clone of a merge request: an unbumped module is refused, where forges show it', async (t) => {
  branch('unbumped');
  platform.change('Orders');
  commitLocked(platform, 'No bump');
  const clone = runner(t, 'refs/heads/unbumped');
  const environment = { ...mergeRequest, GITHUB_ACTIONS: 'true' };
  const args = ['ci', 'versions', '--code-quality', 'report.json'];
  const { code, stdout, stderr } = await runCli(clone.path, args, environment);
  assert.equal(code, 1, stderr);
  assert.match(
    stdout,
    /^orders was changed, but its version is still 1\.0\.0\n {4}modules\/Orders\/src/m,
  );
  // 1.0.1 was released once.
  assert.match(stdout, /→ ringlock bump orders patch/);
  assert.match(
    stdout,
    /^::error file=modules\/Orders\/module\.json,line=4,title=ringlock version-unbumped::orders was/m,
  );
  // Nothing between these two lines is taken for a command.
  const [, token] = /^::stop-commands::(\S{20,})$/m.exec(stdout) ?? [];
  assert.ok(stdout.indexOf(`\n::${token}::\n`) > stdout.indexOf('modules/Orders/src'));
  const [entry, ...more] = JSON.parse(readFileSync(join(clone.path, 'report.json'), 'utf8'));
  assert.deepEqual(more, []);
  assert.deepEqual(entry.location, { path: 'modules/Orders/module.json', lines: { begin: 4 } });
  assert.equal(clone.git('rev-parse', '--is-shallow-repository'), 'false');
});

test('two branches that bump to one version: the second is refused once the first is in the target', async (t) => {
  branch('line');
  platform.git('push', '-q', 'origin', 'line');
  branch('second');
  commitBump(platform, 'Orders', '1.0.2');
  const clone = runner(t, 'refs/heads/second');
  const request = { ...mergeRequest, CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'line' };
  // A tag that stands elsewhere here is left, and stops nothing.
  clone.git('tag', 'products@1.0.9');
  assert.deepEqual(await found(clone, request), []);
  platform.git('checkout', '-q', 'line');
  // No lock of a deploy branch has it: only the target's own modules can tell.
  platform.change('Orders');
  platform.setVersion('Orders', '1.0.2');
  platform.commit('Orders 1.0.2, otherwise');
  platform.git('push', '-q', 'origin', 'line');
  assert.deepEqual(await found(clone, request, { offline: true }), []);
  const { repository, range } = await rangeOf(clone, request);
  const { findings } = await findVersionProblems(repository, range);
  assert.deepEqual([range.target, range.tip], ['line', platform.git('rev-parse', 'line')]);
  assert.equal(findings.length, 1);
  assert.match(findings[0]?.message ?? '', /once merged into line as it is now/);
  assert.match(findings[0]?.mend ?? '', /ringlock ci versions --fix/);
});

test('a merged-result pipeline: the forge’s merge commit is compared with its target side', async (t) => {
  branch('result-target');
  branch('result');
  commitBump(platform, 'Orders', '1.0.2');
  platform.change('MobileApp');
  commitLocked(platform, 'MobileApp without a bump');
  platform.git('checkout', '-q', 'result-target');
  commitBump(platform, 'Products', '1.1.0');
  platform.git('push', '-q', 'origin', 'result-target');
  platform.git('merge', '-q', '--no-ff', '-X', 'theirs', '-m', 'merge', 'result');
  const clone = runner(t, 'refs/pull/1/merge');
  const github = {
    ...{ GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: 'pull_request' },
    ...{ GITHUB_BASE_REF: 'result-target', GITHUB_REF: 'refs/pull/1/merge' },
  };
  assert.deepEqual(await found(clone, github), ['version-unbumped mobile-app']);
});

test('in a merge train the target is what is merged before', async (t) => {
  branch('train-first');
  commitBump(platform, 'Orders', '1.0.2');
  branch('train-second');
  platform.write({ 'modules/Orders/src/second.mjs': 'second\n' });
  platform.setVersion('Orders', '1.0.2');
  commitLocked(platform, 'Orders 1.0.2 too');
  platform.git('checkout', '-q', '--detach', 'train-first');
  platform.git('merge', '-q', '--no-ff', '-X', 'ours', '-m', 'train', 'train-second');
  const clone = runner(t, 'refs/merge-requests/2/train');
  assert.deepEqual(await found(clone), []);
  const train = { ...mergeRequest, CI_MERGE_REQUEST_EVENT_TYPE: 'merge_train' };
  assert.deepEqual(await found(clone, train), ['version-unbumped orders']);
});

test('pull_request_target: the request’s head is checked, though the target is checked out', async (t) => {
  branch('pull');
  platform.change('Orders');
  const head = commitLocked(platform, 'No bump');
  platform.git('push', '-q', 'origin', 'HEAD:refs/pull/7/head');
  const clone = runnerClone(t, platform.origin, 'refs/heads/main');
  const github = {
    ...{ GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: 'pull_request_target' },
    ...{ GITHUB_BASE_REF: 'main', GITHUB_REF: 'refs/heads/main' },
    EVENT: JSON.stringify({ pull_request: { number: 7, head: { sha: head } } }),
  };
  assert.deepEqual(await found(clone, github), ['version-unbumped orders']);
});

test('a version that was released and reverted long ago stays taken in a shallow clone, and by a tag', async (t) => {
  branch('taken');
  commitBump(platform, 'Orders', '1.0.1');
  commitBump(platform, 'Products', '1.0.9');
  assert.deepEqual(await found(runner(t, 'refs/heads/taken')), [
    'version-released-bytes orders',
    'version-released-bytes products',
  ]);
});

test('a history that cannot be had: what is missing and which settings give it', async (t) => {
  branch('cut');
  platform.commit('Nothing');
  const clone = runner(t, 'refs/heads/cut');
  const offline = await errorOf(rangeOf(clone, mergeRequest, { offline: true, target: 'HEAD' }));
  assert.equal(offline.code, 'history-missing');
  assert.match(offline.hint ?? '', /GIT_DEPTH: 0.*fetch-depth: 0/);
  clone.git('remote', 'set-url', 'origin', 'file:///nowhere/at/all');
  const gone = await errorOf(rangeOf(clone, mergeRequest));
  assert.deepEqual([gone.code, gone.exitCode], ['fetch-failed', 3]);
  assert.match(gone.hint ?? '', /GIT_DEPTH: 0/);
  clone.git('remote', 'set-url', 'origin', `file://${platform.origin}`);
  const noTarget = { ...mergeRequest, CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'nowhere' };
  const unknown = await errorOf(rangeOf(clone, noTarget));
  assert.equal(unknown.code, 'unknown-revision');
  assert.match(unknown.message, /target nowhere/);
});

// Last, since it moves the deploy branch.
test('a push to the deploy branch is compared with what the branch was', async (t) => {
  platform.git('checkout', '-q', 'main');
  const former = commitBump(platform, 'Orders', '1.0.2');
  platform.change('Orders');
  platform.change('MobileApp');
  platform.setVersion('MobileApp', '0.3.1');
  commitLocked(platform, 'Orders 1.0.2 again');
  const push = { GITLAB_CI: 'true', CI_COMMIT_BRANCH: 'main', CI_COMMIT_BEFORE_SHA: former };
  assert.deepEqual(await found(runner(t, 'refs/heads/main'), push), ['version-unbumped orders']);
});
