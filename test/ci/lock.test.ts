import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { fixAndPushLocks, fixLocks } from '../../src/ci/fix-locks.ts';
import { findLockProblems } from '../../src/ci/lock-findings.ts';
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
import { lockedAt, modulesAt } from '../support/platform.ts';
import type { Repository } from '../support/repository.ts';

const canary = 'manifests/canary.lock.json';
const stable = 'manifests/stable.lock.json';

/** One platform for all: each test has branches of its own. */
let platform: PushedPlatform;

before((t) => {
  platform = createPushedPlatform(t as TestContext);
});

/** A branch whose tracking lock is stale. */
function staleBranch(name: string): string {
  platform.git('checkout', '-qb', name, 'main');
  platform.change('MobileApp');
  platform.setVersion('MobileApp', '0.3.1');
  const commit = platform.commit('No lock');
  platform.git('push', '-q', 'origin', name);
  return commit;
}

async function found(clone: Repository, environment = mergeRequest): Promise<string[]> {
  const { repository, range } = await rangeOf(clone, environment);
  const findings = await findLockProblems(repository, range);
  return findings.map(({ check, file, line }) => `${check} ${file}:${line}`);
}

function pin(entry: object): void {
  const lock = JSON.parse(platform.read(stable));
  Object.assign(lock.modules.orders, entry);
  platform.write({ [stable]: `${JSON.stringify(lock, null, 2)}\n` });
}

function hook(script: string): void {
  const file = join(platform.origin, 'hooks/pre-receive');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** Two branches that bumped one module, merged by a forge: what git could not merge is committed. */
function forgeMerge(): string {
  const start = platform.git('rev-parse', 'main');
  platform.git('checkout', '-qb', 'merged', 'main');
  platform.write({ 'modules/MobileApp/src/topic.mjs': 'topic\n' });
  platform.setVersion('MobileApp', '0.4.0');
  commitLocked(platform, 'Topic');
  const resolved = platform.read('modules/MobileApp/module.json');
  platform.git('checkout', '-q', 'main');
  platform.write({ 'modules/MobileApp/src/main.mjs': 'main\n' });
  platform.setVersion('MobileApp', '0.3.1');
  commitLocked(platform, 'Main');
  platform.tryGit('merge', '-q', '--no-ff', 'merged');
  assert.match(platform.read(canary), /^<{7} /m);
  platform.commit('Merge branch merged', { 'modules/MobileApp/module.json': resolved });
  platform.git('push', '-q');
  return start;
}

test('a stale tracking lock, and pins whose bytes or trees are wrong, each at its line', async (t) => {
  staleBranch('pins');
  const clone = runnerClone(t, platform.origin, 'refs/heads/pins');
  const line = clone.read(canary).split('\n').indexOf('    "mobile-app": {') + 1;
  assert.deepEqual(await found(clone), [`lock-stale ${canary}:${line}`]);
  // Released bytes under another digest; and bytes of a branch that no deploy branch will have.
  commitLocked(platform, 'Lock');
  pin({ sha256: `sha256:${'0'.repeat(64)}` });
  platform.commit('Another digest');
  const orders = platform.read(stable).split('\n').indexOf('    "orders": {') + 1;
  assert.deepEqual(await found(platform), [`pin-bytes ${stable}:${orders}`]);
  platform.git('reset', '-q', '--hard', 'HEAD^');
  commitBump(platform, 'Orders', '1.0.9');
  const tree = platform.git('rev-parse', 'HEAD:modules/Orders');
  const sha256 = modulesAt(platform, 'HEAD').find(({ alias }) => alias === 'orders')?.sha256;
  pin({ version: '1.0.9', tree, sha256 });
  platform.commit('Pin what is on a branch');
  platform.git('push', '-qf', 'origin', 'pins');
  const unreachable = runnerClone(t, platform.origin, 'refs/heads/pins');
  assert.deepEqual(await found(unreachable), [`pin-unreachable ${stable}:${orders}`]);
  platform.git('push', '-q', 'origin', 'HEAD^:refs/tags/orders@1.0.9');
  assert.deepEqual(await found(unreachable), []);
});

test('--fix without --push commits where HEAD stands, loses no edit, and hides no broken version', async () => {
  const parent = staleBranch('fixed');
  platform.write({ 'README.md': 'edited\n' });
  const { code, stdout, stderr } = await runCli(platform.path, ['ci', 'lock', '--fix']);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /canary: mobile-app 0\.3\.0 → 0\.3\.1/);
  assert.equal(platform.git('rev-parse', 'HEAD^'), parent);
  assert.equal(platform.git('symbolic-ref', '--short', 'HEAD'), 'fixed');
  assert.equal(platform.git('status', '--porcelain'), ' M README.md');
  platform.git('checkout', '-q', 'README.md');
  platform.change('Orders');
  const broken = platform.commit('Orders without a bump');
  const { repository, range } = await rangeOf(platform);
  const refused = await errorOf(fixLocks(repository, range, process.env));
  assert.equal(refused.code, 'versions-broken');
  assert.match(refused.message, /orders was changed, but its version is still 1\.0\.0/);
  assert.equal(platform.git('rev-parse', 'HEAD'), broken);
});

test('a push that the server refuses says which token; another pipeline’s branch is left alone', async (t) => {
  staleBranch('refused');
  const clone = runnerClone(t, platform.origin, 'refs/heads/refused');
  const variables = { ...mergeRequest, CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: 'refused' };
  const environment = { ...process.env, RINGLOCK_PUSH_TOKEN: 'glpat-very-secret' };
  const push = async () => {
    const { repository, context, request, range } = await rangeOf(clone, variables);
    return fixAndPushLocks(repository, context, request, range, environment);
  };
  hook('echo "protected branch, not for glpat-very-secret" >&2; exit 1');
  const refused = await errorOf(push());
  assert.deepEqual([refused.code, refused.exitCode], ['push-refused', 3]);
  assert.match(refused.message, /push to refused:.*protected branch/);
  assert.match(refused.hint ?? '', /RINGLOCK_PUSH_TOKEN/);
  assert.doesNotMatch(`${refused.message}${refused.hint}`, /very-secret/);
  hook('');
  platform.commit('Newer');
  platform.git('push', '-q', 'origin', 'refused');
  const moved = await errorOf(push());
  assert.equal(moved.code, 'branch-moved');
  assert.match(moved.message, /refused is at [0-9a-f]{12} there/);
});

test('--fix resolves committed conflict markers, and --push brings it to the branch, whoever was quicker', async (t) => {
  const former = forgeMerge();
  const clone = runnerClone(t, platform.origin, 'refs/heads/main');
  const push = { GITLAB_CI: 'true', CI_COMMIT_BRANCH: 'main', CI_COMMIT_BEFORE_SHA: former };
  const conflicted = (await found(clone, { ...mergeRequest, ...push })).map(
    (each) => each.split(':')[0],
  );
  assert.deepEqual(conflicted, [`lock-conflict ${canary}`]);
  // Somebody pushes after this pipeline began, and somebody else while it pushes.
  commitBump(platform, 'Products', '1.0.1');
  platform.commit('Else', { [canary]: clone.read(canary) });
  platform.git('push', '-q');
  const quicker = platform.commit('Quicker', { 'README.md': 'quicker\n' });
  platform.git('push', '-q', 'origin', `${quicker}:refs/heads/else`);
  const move = `env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main ${quicker}`;
  hook(`rm -f "$0"; ${move}`);
  const fixed = await runCli(clone.path, ['ci', 'lock', '--fix', '--push'], push);
  assert.equal(fixed.code, 0, fixed.stdout + fixed.stderr);
  assert.match(fixed.stdout, /canary: mobile-app [\s\S]*pushed to main/);
  platform.git('fetch', '-q');
  assert.equal(platform.git('rev-parse', 'origin/main^'), quicker);
  const sorted = (modules: readonly { readonly alias: string }[]) =>
    [...modules].sort((a, b) => (a.alias < b.alias ? -1 : 1));
  assert.deepEqual(
    sorted(lockedAt(platform, 'origin/main', 'canary')),
    sorted(modulesAt(platform, 'origin/main')),
  );
  // This pipeline's HEAD was passed, and stays; a second one has nothing to do.
  const { repository, context, request, range } = await rangeOf(clone, push);
  const again = await fixAndPushLocks(repository, context, request, range, process.env);
  assert.equal(again.commit, undefined);
});
