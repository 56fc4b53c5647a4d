import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findLockProblems } from '../../src/ci/lock-findings.ts';
import { runCli } from '../support/cli.ts';
import {
  commitBump,
  commitLocked,
  createPushedPlatform,
  mergeRequest,
  rangeOf,
  runnerClone,
} from '../support/pipeline.ts';
import { lockedAt, modulesAt, type Platform } from '../support/platform.ts';
import { openRepository, type Repository } from '../support/repository.ts';

const canary = 'manifests/canary.lock.json';
const stable = 'manifests/stable.lock.json';

async function found(clone: Repository): Promise<string[]> {
  const { repository, range } = await rangeOf(clone, mergeRequest);
  const findings = await findLockProblems(repository, range);
  return findings.map(({ check, file, line }) => `${check} ${file}:${line}`);
}

function pin(platform: Platform, entry: object): void {
  const lock = JSON.parse(platform.read(stable));
  Object.assign(lock.modules.orders, entry);
  platform.write({ [stable]: `${JSON.stringify(lock, null, 2)}\n` });
}

/** Two branches that bumped one module, merged by a forge: what git could not merge is committed. */
function forgeMerge(platform: Platform): string {
  const start = platform.git('rev-parse', 'HEAD');
  platform.git('checkout', '-qb', 'topic');
  platform.write({ 'modules/MobileApp/src/topic.mjs': 'topic\n' });
  platform.setVersion('MobileApp', '0.4.0');
  commitLocked(platform, 'Topic');
  const resolved = platform.read('modules/MobileApp/module.json');
  platform.git('checkout', '-q', 'main');
  platform.write({ 'modules/MobileApp/src/main.mjs': 'main\n' });
  platform.setVersion('MobileApp', '0.3.1');
  commitLocked(platform, 'Main');
  platform.tryGit('merge', '-q', '--no-ff', 'topic');
  assert.match(platform.read(canary), /^<{7} /m);
  platform.commit('Merge branch topic', { 'modules/MobileApp/module.json': resolved });
  return start;
}

test('a stale tracking lock, and pins whose bytes or trees are wrong, each at its line', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('MobileApp');
  platform.setVersion('MobileApp', '0.3.1');
  platform.commit('No lock');
  platform.git('push', '-q', 'origin', 'topic');
  const clone = runnerClone(t, platform.origin, 'refs/heads/topic');
  const line = clone.read(canary).split('\n').indexOf('    "mobile-app": {') + 1;
  assert.deepEqual(await found(clone), [`lock-stale ${canary}:${line}`]);
  // Released bytes under another digest; and bytes of a branch that no deploy branch will have.
  commitLocked(platform, 'Lock');
  pin(platform, { sha256: `sha256:${'0'.repeat(64)}` });
  platform.commit('Another digest');
  platform.git('push', '-q', 'origin', 'topic');
  const orders = platform.read(stable).split('\n').indexOf('    "orders": {') + 1;
  const bytes = runnerClone(t, platform.origin, 'refs/heads/topic');
  assert.deepEqual(await found(bytes), [`pin-bytes ${stable}:${orders}`]);
  platform.git('reset', '-q', '--hard', 'HEAD^');
  commitBump(platform, 'Orders', '1.0.9');
  const tree = platform.git('rev-parse', 'HEAD:modules/Orders');
  const sha256 = modulesAt(platform, 'HEAD').find(({ alias }) => alias === 'orders')?.sha256;
  pin(platform, { version: '1.0.9', tree, sha256 });
  platform.commit('Pin what is on a branch');
  platform.git('push', '-qf', 'origin', 'topic');
  const unreachable = runnerClone(t, platform.origin, 'refs/heads/topic');
  assert.deepEqual(await found(unreachable), [`pin-unreachable ${stable}:${orders}`]);
  platform.git('push', '-q', 'origin', 'HEAD^:refs/tags/orders@1.0.9');
  assert.deepEqual(await found(unreachable), []);
});

test('--fix resolves committed conflict markers, and --push brings it to the branch, whoever was quicker', async (t) => {
  const platform = createPushedPlatform(t);
  const before = forgeMerge(platform);
  platform.git('push', '-q', '--no-verify');
  const clone = runnerClone(t, platform.origin, 'refs/heads/main');
  const push = { GITLAB_CI: 'true', CI_COMMIT_BRANCH: 'main', CI_COMMIT_BEFORE_SHA: before };
  const checked = await runCli(clone.path, ['ci', 'lock'], push);
  assert.equal(checked.code, 1);
  assert.match(checked.stdout, /canary\.lock\.json was committed with conflict markers/);
  // Somebody pushes after this pipeline began, and somebody else while it pushes.
  commitBump(platform, 'Products', '1.0.1');
  platform.write({ [canary]: clone.read(canary) });
  platform.commit('Else');
  platform.git('push', '-q', '--no-verify');
  const quicker = platform.commit('Quicker', { 'README.md': 'quicker\n' });
  platform.git('push', '-q', 'origin', `${quicker}:refs/heads/else`);
  const hook = join(platform.origin, 'hooks/pre-receive');
  writeFileSync(
    hook,
    `#!/bin/sh\nrm -f "$0"\nenv -u GIT_QUARANTINE_PATH git update-ref refs/heads/main ${quicker}\n`,
  );
  chmodSync(hook, 0o755);
  const fixed = await runCli(clone.path, ['ci', 'lock', '--fix', '--push'], push);
  assert.equal(fixed.code, 0, fixed.stdout + fixed.stderr);
  assert.match(fixed.stdout, /canary: mobile-app [\s\S]*pushed to main/);
  platform.git('fetch', '-q');
  assert.equal(platform.git('rev-parse', 'origin/main^'), quicker);
  assert.deepEqual(
    lockedAt(platform, 'origin/main', 'canary').sort((a, b) => (a.alias < b.alias ? -1 : 1)),
    modulesAt(platform, 'origin/main').sort((a, b) => (a.alias < b.alias ? -1 : 1)),
  );
  // Its HEAD was passed, and stays; a second pipeline has nothing to do.
  const again = await runCli(clone.path, ['ci', 'lock', '--fix', '--push'], push);
  assert.equal(again.stdout, 'the locks are right\n');
});

test('--fix without --push commits where HEAD stands, loses no edit, and hides no broken version', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('MobileApp');
  platform.setVersion('MobileApp', '0.3.1');
  const parent = platform.commit('No lock');
  platform.write({ 'README.md': 'edited\n' });
  const { code, stdout, stderr } = await runCli(platform.path, ['ci', 'lock', '--fix']);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /canary: mobile-app 0\.3\.0 → 0\.3\.1/);
  assert.equal(platform.git('rev-parse', 'HEAD^'), parent);
  assert.equal(platform.git('symbolic-ref', '--short', 'HEAD'), 'topic');
  assert.equal(platform.git('status', '--porcelain'), ' M README.md');
  platform.change('MobileApp');
  platform.git('checkout', '-q', 'README.md');
  platform.commit('0.3.1 again, unreleased');
  platform.change('Orders');
  const broken = platform.commit('Orders without a bump');
  const refused = await runCli(platform.path, ['ci', 'lock', '--fix']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /orders was changed, but its version is still 1\.0\.0/);
  assert.equal(platform.git('rev-parse', 'HEAD'), broken);
});

test('a push that the server refuses says which token; another pipeline’s branch is left alone', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('MobileApp');
  platform.setVersion('MobileApp', '0.3.1');
  platform.commit('No lock');
  platform.git('push', '-q', 'origin', 'topic');
  const clone = openRepository(runnerClone(t, platform.origin, 'refs/heads/topic').path);
  const hook = join(platform.origin, 'hooks/pre-receive');
  writeFileSync(hook, '#!/bin/sh\necho "protected branch" >&2\nexit 1\n');
  chmodSync(hook, 0o755);
  const environment = { ...mergeRequest, RINGLOCK_PUSH_TOKEN: 'glpat-very-secret' };
  const refused = await runCli(clone.path, ['ci', 'lock', '--fix', '--push'], environment);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /push to topic:.*protected branch/);
  assert.match(refused.stderr, /RINGLOCK_PUSH_TOKEN/);
  assert.doesNotMatch(refused.stderr + refused.stdout, /very-secret/);
  writeFileSync(hook, '#!/bin/sh\n');
  platform.commit('Newer');
  platform.git('push', '-q', 'origin', 'topic');
  const moved = await runCli(clone.path, ['ci', 'lock', '--fix', '--push'], environment);
  assert.equal(moved.code, 1);
  assert.match(moved.stderr, /topic is at [0-9a-f]{12} there/);
});
