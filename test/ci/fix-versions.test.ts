import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixVersions } from '../../src/ci/fix-versions.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import { commitLocked, createPushedPlatform, rangeOf } from '../support/pipeline.ts';
import { type LockedFixture, lockedAt, modulesAt, type Platform } from '../support/platform.ts';

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

const byAlias = (modules: LockedFixture[]) => modules.sort((a, b) => (a.alias < b.alias ? -1 : 1));

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
  assert.deepEqual(
    byAlias(lockedAt(platform, 'HEAD', 'canary')),
    byAlias(modulesAt(platform, 'HEAD')),
  );
  const { repository, range } = await rangeOf(platform);
  const again = await fixVersions(repository, range, '2026-11-24', process.env);
  assert.deepEqual(again, { commit: undefined, merged: false, versions: [] });
});

test('--fix bumps what was not bumped, where there is nothing to merge; a conflict in code, and edits that are not committed, leave everything as it was', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'topic');
  platform.change('Orders');
  commitLocked(platform, 'No bump');
  const { repository, range } = await rangeOf(platform);
  const { versions } = await fixVersions(repository, range, '2026-11-24', process.env);
  assert.deepEqual(versions, [{ alias: 'orders', from: '1.0.0', to: '1.0.1' }]);
  assert.equal(versionOf(platform, 'Orders'), '1.0.1');
  assert.equal(platform.git('log', '-1', '--format=%s'), 'Bump orders 1.0.1');
  assert.equal(
    lockedAt(platform, 'HEAD', 'canary').find(({ alias }) => alias === 'orders')?.version,
    '1.0.1',
  );
  platform.git('checkout', '-qb', 'conflicting', 'main');
  platform.write({ 'modules/Orders/src/index.mjs': 'mine\n' });
  develop(platform, 'Orders', '1.0.1', 'mine');
  const head = platform.git('rev-parse', 'HEAD');
  platform.git('checkout', '-q', 'main');
  platform.write({ 'modules/Orders/src/index.mjs': 'theirs\n' });
  develop(platform, 'Orders', '1.0.1', 'theirs');
  platform.git('push', '-q');
  platform.git('checkout', '-q', 'conflicting');
  const fix = async () => {
    const { repository, range } = await rangeOf(platform);
    return fixVersions(repository, range, '2026-11-24', process.env);
  };
  const conflict = await errorOf(fix());
  assert.equal(conflict.code, 'merge-conflict');
  assert.match(
    conflict.message,
    /main cannot be merged: modules\/Orders\/src\/index\.mjs conflict/,
  );
  assert.equal(platform.git('rev-parse', 'HEAD'), head);
  assert.equal(platform.git('status', '--porcelain'), '');
  platform.write({ VERSION: '2.1.0\n' });
  const edited = await errorOf(fix());
  assert.match(edited.message, /not committed:\n *M VERSION/);
  assert.equal(platform.read('VERSION'), '2.1.0\n');
});
