import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { assertLocksRight } from '../support/hooked-platform.ts';
import { commitLocked, createPushedPlatform } from '../support/pipeline.ts';
import type { Platform } from '../support/platform.ts';

/** Bumps as a developer does: another file, the version, and a section of the changelog. */
function develop(platform: Platform, directory: string, version: string, entry: string): string {
  const changelog = `modules/${directory}/CHANGELOG.md`;
  const [heading = '', ...rest] = platform.read(changelog).split('\n');
  platform.write({
    [`modules/${directory}/src/${entry}.mjs`]: `${entry}\n`,
    [changelog]: [heading, '', `## ${version}`, '', `- ${entry}.`, ...rest].join('\n'),
  });
  platform.setVersion(directory, version);
  return commitLocked(platform, `${directory} ${version}: ${entry}`);
}

function versionOf(platform: Platform, directory: string): string {
  return JSON.parse(platform.read(`modules/${directory}/module.json`)).version;
}

test('--fix merges the target, takes the next free version of the same kind, and locks again', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  develop(platform, 'Orders', '1.0.1', 'mine');
  develop(platform, 'Products', '1.1.0', 'feature');
  develop(platform, 'MobileApp', '0.4.0', 'ahead');
  platform.git('checkout', '-q', 'main');
  develop(platform, 'Orders', '1.0.1', 'theirs');
  develop(platform, 'Products', '1.1.0', 'other');
  develop(platform, 'MobileApp', '0.3.1', 'behind');
  platform.git('push', '-q');
  const target = platform.git('rev-parse', 'HEAD');
  platform.git('checkout', '-q', 'topic');
  const { code, stdout, stderr } = await runCli(platform.path, ['ci', 'versions', '--fix']);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /orders 1\.0\.1 → 1\.0\.2\n[\s\S]*products 1\.1\.0 → 1\.2\.0/);
  assert.match(stdout, /→ git push origin HEAD/);
  assert.equal(platform.git('status', '--porcelain'), '');
  assert.equal(platform.git('rev-parse', 'HEAD^2'), target);
  assert.deepEqual(
    ['Orders', 'Products', 'MobileApp'].map((each) => versionOf(platform, each)),
    ['1.0.2', '1.2.0', '0.5.0'],
  );
  // Nothing that anybody wrote is lost, and each stands under the version that has it.
  assert.match(
    platform.read('modules/Orders/CHANGELOG.md'),
    /## 1\.0\.2 - \d{4}-\d\d-\d\d\n\n- mine\.\n[\s\S]*## 1\.0\.1\n\n- theirs\.\n[\s\S]*## 1\.0\.0/,
  );
  assert.match(
    platform.read('modules/MobileApp/CHANGELOG.md'),
    /ahead[\s\S]*## 0\.3\.1[\s\S]*behind/,
  );
  assert.equal(platform.read('modules/Orders/src/theirs.mjs'), 'theirs\n');
  await assertLocksRight(t, platform);
  const again = await runCli(platform.path, ['ci', 'versions', '--fix']);
  assert.equal(again.stdout, 'every changed module has a version of its own\n');
});

test('--fix bumps what was not bumped, where there is nothing to merge', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('Orders');
  commitLocked(platform, 'No bump');
  const { code, stdout } = await runCli(platform.path, ['ci', 'versions', '--fix']);
  assert.equal(code, 0, stdout);
  assert.equal(versionOf(platform, 'Orders'), '1.0.1');
  assert.equal(platform.git('log', '-1', '--format=%s'), 'Bump orders 1.0.1');
  await assertLocksRight(t, platform);
});

test('a conflict in code, and edits that are not committed, leave everything as it was', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.write({ 'modules/Orders/src/index.mjs': 'mine\n' });
  develop(platform, 'Orders', '1.0.1', 'mine');
  const head = platform.git('rev-parse', 'HEAD');
  platform.git('checkout', '-q', 'main');
  platform.write({ 'modules/Orders/src/index.mjs': 'theirs\n' });
  develop(platform, 'Orders', '1.0.1', 'theirs');
  platform.git('push', '-q');
  platform.git('checkout', '-q', 'topic');
  const { code, stderr } = await runCli(platform.path, ['ci', 'versions', '--fix']);
  assert.equal(code, 1);
  assert.match(stderr, /main cannot be merged: modules\/Orders\/src\/index\.mjs conflict/);
  assert.equal(platform.git('rev-parse', 'HEAD'), head);
  assert.equal(platform.git('status', '--porcelain'), '');
  platform.write({ VERSION: '2.1.0\n' });
  const edited = await runCli(platform.path, ['ci', 'versions', '--fix']);
  assert.match(edited.stderr, /not committed:\n *M VERSION/);
  assert.equal(platform.read('VERSION'), '2.1.0\n');
});
