import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import {
  commitLocked,
  createPushedPlatform,
  mergeRequest,
  runnerClone,
} from '../support/pipeline.ts';
import type { Platform } from '../support/platform.ts';
import { gitEnvironment } from '../support/repository.ts';

/** Commits upon the branch that is checked out, by one process. */
function grow(platform: Platform, commits: number): void {
  const branch = platform.git('symbolic-ref', 'HEAD');
  const one = `commit ${branch}\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\n`;
  const first = `${one}from ${branch}^0\n\n`;
  execFileSync('git', ['fast-import', '--quiet'], {
    ...{ cwd: platform.path, env: gitEnvironment },
    input: first + `${one}\n`.repeat(commits - 1),
  });
}

test('minor and major versions without a section are warned of, with exit 0; the plan is of the same change', async (t) => {
  const platform = createPushedPlatform(t);
  platform.git('checkout', '-qb', 'base');
  grow(platform, 70);
  platform.git('checkout', '-qb', 'topic', 'base');
  platform.setVersion('Products', '1.1.0');
  platform.setVersion('MobileApp', '1.0.0');
  platform.setVersion('Orders', '1.0.1');
  platform.setVersion('Communications', '1.1.0');
  platform.write({
    'modules/Communications/CHANGELOG.md': '# C\n\n## 1.1.0\n\n- New.\n\n## 1.0.0\n',
    'modules/MobileApp/CHANGELOG.md': null,
  });
  commitLocked(platform, 'Versions');
  platform.git('checkout', '-q', '-B', 'main', 'base');
  platform.commit('The target goes on');
  platform.git('push', '-q', 'origin', 'main', 'topic');
  const clone = runnerClone(t, platform.origin, 'refs/heads/topic');
  const github = { ...mergeRequest, GITHUB_ACTIONS: 'true' };
  const { code, stdout } = await runCli(clone.path, ['ci', 'changelogs'], github);
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
  assert.match(stdout, /^::warning file=modules\/Products\/CHANGELOG\.md,line=1,/m);
  // Only as deep as it took.
  assert.equal(clone.git('rev-parse', '--is-shallow-repository'), 'true');
  const plan = await runCli(clone.path, ['ci', 'plan', '--format', 'json'], mergeRequest);
  const { event, jobs } = JSON.parse(plan.stdout);
  assert.equal(event, 'merge-request');
  assert.deepEqual(
    jobs.map(({ name }: { name: string }) => name),
    ['module-version-check', 'module-lock-validate', 'module-changelog-check', 'verify'],
  );
});
