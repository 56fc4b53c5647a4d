import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import {
  commitLocked,
  createPushedPlatform,
  mergeRequest,
  runnerClone,
} from '../support/pipeline.ts';

test('minor and major versions without a section are warned of, with exit 0; the plan is of the same change', async (t) => {
  const platform = createPushedPlatform(t);
  for (let at = 0; at < 60; at++) platform.git('commit', '-q', '--allow-empty', '-m', `${at}`);
  platform.git('checkout', '-qb', 'topic', 'HEAD~55');
  platform.setVersion('Products', '1.1.0');
  platform.setVersion('MobileApp', '1.0.0');
  platform.setVersion('Orders', '1.0.1');
  platform.setVersion('Communications', '1.1.0');
  platform.write({
    'modules/Communications/CHANGELOG.md': '# C\n\n## 1.1.0\n\n- New.\n\n## 1.0.0\n',
    'modules/MobileApp/CHANGELOG.md': null,
  });
  commitLocked(platform, 'Versions');
  platform.git('push', '-q', 'origin', 'main', 'topic');
  const clone = runnerClone(t, platform.origin, 'refs/heads/topic');
  const { code, stdout } = await runCli(clone.path, ['ci', 'changelogs'], mergeRequest);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /warning: mobile-app goes from 0\.3\.0 to 1\.0\.0, and modules\/MobileApp\/CHANGELOG\.md is missing/,
  );
  assert.match(
    stdout,
    /warning: products goes from 1\.0\.0 to 1\.1\.0, and .* has no section for it/,
  );
  assert.doesNotMatch(stdout, /orders|communications/);
  const warned = { ...mergeRequest, GITHUB_ACTIONS: 'true' };
  const github = await runCli(clone.path, ['ci', 'changelogs'], warned);
  assert.match(github.stdout, /^::warning file=modules\/Products\/CHANGELOG\.md,line=1,/m);
  // Only as deep as it took: the merge base lies 55 commits below the target.
  assert.equal(clone.git('rev-parse', '--is-shallow-repository'), 'false');
  const plan = await runCli(clone.path, ['ci', 'plan', '--format', 'json'], mergeRequest);
  const { event, jobs } = JSON.parse(plan.stdout);
  assert.equal(event, 'merge-request');
  assert.deepEqual(
    jobs.map(({ name }: { name: string }) => name),
    ['module-version-check', 'module-lock-validate', 'module-changelog-check', 'verify'],
  );
});
