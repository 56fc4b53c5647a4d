import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCiContext } from '../../src/ci/ci-context.ts';

const sha = 'a'.repeat(40);
const zeros = '0'.repeat(40);

const gitlab = (more: Record<string, string>) =>
  readCiContext({ GITLAB_CI: 'true', CI_PIPELINE_SOURCE: 'push', ...more }, undefined);
const github = (name: string, more: Record<string, string>, event: unknown = {}) =>
  readCiContext(
    { GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: name, ...more },
    JSON.stringify(event),
  );

test('outside of a pipeline nothing is known', () => {
  assert.equal(readCiContext({ CI_COMMIT_BRANCH: 'main' }, undefined).event, undefined);
});

test('GitLab: a merge request, also in a child pipeline', () => {
  const variables = {
    CI_PIPELINE_SOURCE: 'parent_pipeline',
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
    CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: 'topic',
    CI_MERGE_REQUEST_DIFF_BASE_SHA: sha,
    CI_MERGE_REQUEST_EVENT_TYPE: 'merged_result',
    CI_COMMIT_BEFORE_SHA: zeros,
  };
  const { event, targetBranch, branch, base, before, queuedOn } = gitlab(variables);
  assert.deepEqual([event, targetBranch, branch, base], ['merge-request', 'main', 'topic', sha]);
  assert.deepEqual([before, queuedOn], [undefined, undefined]);
  const train = gitlab({ ...variables, CI_MERGE_REQUEST_EVENT_TYPE: 'merge_train' });
  assert.equal(train.queuedOn, 'first-parent');
  const project = { ...variables, CI_PROJECT_ID: '7', CI_MERGE_REQUEST_PROJECT_ID: '7' };
  assert.equal(gitlab(project).isFork, false);
  assert.equal(gitlab({ ...project, CI_PROJECT_ID: '8' }).isFork, true);
});

test('GitLab: a push, a new branch, a tag', () => {
  const push = gitlab({ CI_COMMIT_BRANCH: 'main', CI_COMMIT_BEFORE_SHA: sha });
  assert.deepEqual([push.event, push.branch, push.before], ['push', 'main', sha]);
  assert.equal(gitlab({ CI_COMMIT_BRANCH: 'x', CI_COMMIT_BEFORE_SHA: zeros }).before, undefined);
  assert.equal(gitlab({ CI_COMMIT_TAG: 'orders@1.0.0' }).event, undefined);
});

test('GitHub: a pull request is checked as it is checked out', () => {
  const context = github(
    'pull_request',
    { GITHUB_BASE_REF: 'main', GITHUB_HEAD_REF: 'topic', GITHUB_REF: 'refs/pull/7/merge' },
    { pull_request: { number: 7, head: { sha } } },
  );
  assert.deepEqual(
    [context.event, context.targetBranch, context.branch, context.head, context.headRef],
    ['merge-request', 'main', 'topic', undefined, 'refs/pull/7/merge'],
  );
});

test('GitHub: pull_request_target checks out the target, so the head is taken from the event', () => {
  const context = github(
    'pull_request_target',
    { GITHUB_BASE_REF: 'main', GITHUB_HEAD_REF: 'topic', GITHUB_REF: 'refs/heads/main' },
    { pull_request: { number: 7, head: { sha } } },
  );
  assert.deepEqual([context.head, context.headRef], [sha, 'refs/pull/7/head']);
});

test('GitHub: a merge queue says what comes before', () => {
  const context = github(
    'merge_group',
    { GITHUB_REF: 'refs/heads/gh-readonly-queue/main/pr-7' },
    { merge_group: { base_ref: 'refs/heads/main', base_sha: sha } },
  );
  assert.deepEqual(
    [context.event, context.targetBranch, context.queuedOn],
    ['merge-request', 'main', sha],
  );
});

test('GitHub: a push, and an event file that is not JSON', () => {
  const push = github('push', { GITHUB_REF: 'refs/heads/main' }, { before: sha });
  assert.deepEqual([push.event, push.branch, push.before], ['push', 'main', sha]);
  const broken = readCiContext(
    { GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/heads/main' },
    '{',
  );
  assert.deepEqual([broken.event, broken.before], ['push', undefined]);
});
