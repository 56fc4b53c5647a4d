import assert from 'node:assert/strict';
import { chmodSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import picomatch from 'picomatch';
import { parse } from 'yaml';
import { runGitlabCiLocal, withoutGitlabCiLocal, workflowValidator } from '../support/ci-tools.ts';
import { cliPath } from '../support/cli.ts';
import { commitBump, commitLocked, createPushedPlatform } from '../support/pipeline.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { gates, rows } from './path-table.ts';

const templates = join(import.meta.dirname, '../../ci/templates');
const unavailable = withoutGitlabCiLocal();
const isRequired = process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1';

interface GitlabJob {
  readonly extends?: string;
  readonly rules?: readonly { readonly changes?: readonly string[] }[];
}

const parts = [
  'modules-versioning',
  'locks-after-merge',
  'module-split',
  'module-release',
  'ring-promote',
  'tests',
  'docs-build',
  'deploy',
];

const settings = `
ci:
  include: [ci/templates/gitlab/planned-jobs.yml]
  jobs:
    - {name: compat, paths: ['modules/*/**/*'], run: [ringlock compat]}
    - {name: build-docs, paths: ['docs/**']}
`;

/** The name and the `when` of each job of a listing. */
function listed(csv: string): string[] {
  const lines = csv.split('\n').filter((line) => /^[a-z0-9-]+;[.a-z]+;/.test(line));
  return lines
    .map((line) => line.split(';'))
    .filter(([name]) => name !== 'name')
    .map(([name, , when]) => `${name} ${when}`);
}

test('GitLab runs the templates: exactly the jobs that a change needs, and they do what they say', {
  skip: unavailable,
}, async (t) => {
  const platform = createPushedPlatform(t);
  cpSync(templates, join(platform.path, 'ci/templates'), { recursive: true });
  const include = parts.map((name) => `  - local: ci/templates/gitlab/${name}.yml`).join('\n');
  const plannedFile = 'include:\n  - local: ci/templates/gitlab/planned.yml\n';
  platform.commit('Pipelines', {
    '.gitlab-ci.yml': `stages: [build, test, deploy]\ninclude:\n${include}\n`,
    'planned.yml': plannedFile,
    '.gitignore': '.gitlab-ci-local/\ngl-*.json\nringlock-plan.yml\n',
    'manifests/ringlock.yaml': settings,
  });
  platform.git('push', '-q');
  const bin = temporaryDirectory(t, 'bin');
  writeFileSync(join(bin, 'ringlock'), `#!/bin/sh\nexec ${process.execPath} ${cliPath} "$@"\n`);
  chmodSync(join(bin, 'ringlock'), 0o755);
  const environment = { ...gitEnvironment, PATH: `${bin}:${process.env['PATH']}` };
  const gitlab = (variables: Record<string, string>, ...args: string[]) => {
    const given = Object.entries({ GITLAB_CI: 'true', ...variables });
    const names = given.map(([name]) => name).join(',');
    const set = given.flatMap(([name, value]) => ['--variable', `${name}=${value}`]);
    return runGitlabCiLocal(
      platform.path,
      [`--ignore-predefined-vars=${names}`, ...set, ...args],
      environment,
    );
  };
  const request = { CI_MERGE_REQUEST_IID: '1', CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main' };
  platform.git('checkout', '-qb', 'topic');
  platform.change('Orders');
  platform.commit('No bump');
  const gates = await gitlab({ ...request, RING_TESTS: 'true' });
  assert.equal(gates.code, 1, gates.output);
  assert.match(
    gates.output,
    /FAIL +module-version-check[\s\S]*orders was changed, but its version is still 1\.0\.0/,
  );
  assert.match(gates.output, /FAIL +module-lock-validate/);
  assert.match(gates.output, /PASS +module-changelog-check/);
  assert.match(gates.output, /PASS +ring-tests/);
  assert.doesNotMatch(
    gates.output,
    /(PASS|FAIL) +(module-split|module-release|deploy-k8s|build-docs|verify)/,
  );
  // The same change by a table of paths: a child pipeline of exactly its jobs.
  const planned = await gitlab(request, '--file', 'planned.yml');
  assert.equal(planned.code, 0, planned.output);
  assert.match(planned.output, /PASS +\[ci-planned\] -> compat/);
  assert.doesNotMatch(planned.output, /build-docs/);
  platform.git('checkout', '-q', 'main');
  commitBump(platform, 'MobileApp', '0.3.1');
  const push = { CI_COMMIT_BRANCH: 'main' };
  const known = '--no-json-schema-validation';
  const { stdout } = await gitlab(push, known, '--list-csv');
  assert.deepEqual(listed(stdout), [
    'module-lock-fix on_success',
    'verify on_success',
    'module-split on_success',
    'module-tag on_success',
    'ring-promote manual',
    'deploy-k8s manual',
  ]);
  commitLocked(platform, 'Nothing');
  const promote = { ...push, PROMOTE_MODULES: 'mobile-app', PROMOTE_FLAGS: '--dry-run' };
  const promoted = await gitlab(promote, known, 'ring-promote');
  assert.equal(promoted.code, 0, promoted.output);
  assert.match(promoted.output, /ringlock ring promote[\s\S]*0\.3\.1/);
});

test('the rules of GitLab’s templates are rows of the same table', () => {
  const jobs = new Map<string, readonly string[]>();
  for (const name of parts) {
    const file: Record<string, GitlabJob> = parse(
      readFileSync(join(templates, 'gitlab', `${name}.yml`), 'utf8'),
    );
    for (const [job, { rules, extends: parent }] of Object.entries(file)) {
      const changes = (rules ?? file[parent ?? '']?.rules ?? []).flatMap(
        (rule) => rule.changes ?? [],
      );
      if (changes.length > 0) jobs.set(job, changes);
    }
  }
  const held = [...gates, 'verify', 'module-split', 'build-docs'];
  for (const [what, changed, expected] of rows) {
    const fired = held.filter((job) => {
      const fires = picomatch([...(jobs.get(job) ?? [])], { dot: true });
      return changed.some((path) => fires(path));
    });
    assert.deepEqual(
      fired,
      held.filter((job) => expected.includes(job)),
      what,
    );
  }
});

const workflows = readdirSync(join(templates, 'github'));

for (const name of workflows) {
  const text = readFileSync(join(templates, 'github', name), 'utf8');

  test(`GitHub’s schema takes ${name}`, {
    skip:
      isRequired || workflowValidator()
        ? false
        : 'action-validator is not in RINGLOCK_CI_TOOLS (see .ci/run)',
  }, () => {
    const validator = workflowValidator();
    assert.ok(validator, 'RINGLOCK_CI_TOOLS has no @action-validator/core');
    assert.deepEqual(validator.validateWorkflow(text).errors, []);
    const broken = text.replace('runs-on:', 'runs-in:');
    assert.notDeepEqual(validator.validateWorkflow(broken).errors, []);
  });

  test(`${name} gives its jobs no more than they need, and no command takes an input in`, () => {
    const { permissions, jobs } = parse(text);
    assert.equal(typeof permissions, 'object');
    for (const { steps } of Object.values<{ steps: { run?: string }[] }>(jobs)) {
      for (const { run = '' } of steps) {
        // What a settings file of the same change says may run; what anybody may type or name may not.
        assert.doesNotMatch(run, /\$\{\{\s*(inputs|github|secrets|needs)\b/);
      }
    }
  });
}

test('each template of one forge has its counterpart', () => {
  const names = (forge: string) => readdirSync(join(templates, forge));
  const ofGitlab = names('gitlab').filter(
    (name) => !['ringlock.yml', 'planned-jobs.yml'].includes(name),
  );
  assert.deepEqual(ofGitlab.sort(), names('github').sort());
});
