import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { childPipeline } from '../../src/ci/child-pipeline.ts';
import { githubOutputs } from '../../src/ci/github-matrix.ts';
import { planJobs } from '../../src/ci/plan-jobs.ts';
import { defaultSettings, parseSettings } from '../../src/repo/settings.ts';
import { errorOf } from '../support/error-of.ts';
import { builds, gates, rows } from './path-table.ts';

const table = defaultSettings.ci.jobs;
for (const [what, changed, expected] of rows) {
  test(`a change of ${what} fires exactly: ${expected.join(', ') || 'nothing'}`, () => {
    const planned = (event?: 'merge-request' | 'push') =>
      planJobs(table, changed, event).map(({ name }) => name);
    assert.deepEqual(planned(), expected);
    assert.deepEqual(
      planned('merge-request'),
      expected.filter((name) => name !== 'module-split'),
    );
    assert.deepEqual(planned('push'), [...expected, 'deploy-k8s']);
  });
}

test('any push to a deploy branch has deploy-k8s, by hand only', () => {
  const deploy = planJobs(table, ['README.md'], 'push');
  assert.deepEqual(
    deploy.map(({ name, when }) => [name, when]),
    [['deploy-k8s', 'manual']],
  );
});

test('changes together fire what each fires alone', () => {
  const paths = rows.flatMap(([, changed]) => changed);
  fc.assert(
    fc.property(fc.subarray(paths), (changed) => {
      const alone = new Set(
        changed.flatMap((path) => planJobs(table, [path], undefined).map((job) => job.name)),
      );
      const together = planJobs(table, changed, undefined).map(({ name }) => name);
      assert.deepEqual(
        together,
        table.map(({ name }) => name).filter((name) => alone.has(name)),
      );
    }),
    { numRuns: 50 },
  );
});

test('other package roots have the same gates', () => {
  const { ci } = parseSettings('roots: [modules, themes]\n');
  const names = planJobs(ci.jobs, ['themes/Dark/theme.css'], undefined).map(({ name }) => name);
  assert.deepEqual(names, [...gates, 'module-split', ...builds]);
});

test('a table of one’s own takes the place of the usual one', () => {
  const { ci } = parseSettings(
    'ci:\n  jobs:\n    - {name: lint, paths: ["**/*.ts"], except: ["dist/**"], run: [npm run lint]}\n    - {name: page, when: manual, events: [push]}\n',
  );
  const planned = (changed: string[]) => planJobs(ci.jobs, changed, 'push').map(({ name }) => name);
  assert.deepEqual(planned(['src/.hidden/a.ts']), ['lint', 'page']);
  assert.deepEqual(planned(['dist/a.ts']), ['page']);
});

for (const [what, yaml, message] of [
  [
    'an unknown event',
    'ci: {jobs: [{name: a, events: [tag]}]}',
    /events\.0 is "tag", expected merge-request or push/,
  ],
  [
    'a key GitLab keeps',
    'ci: {jobs: [{name: stages}]}',
    /ci\.jobs\.0\.name is "stages", expected a name that GitLab does not keep/,
  ],
  [
    'an unknown key',
    'ci: {jobs: [{name: a, path: [x]}]}',
    /path is unknown, expected one of name, paths/,
  ],
  [
    'two jobs of one name',
    'ci: {jobs: [{name: a}, {name: a}]}',
    /expected a name that no other job has/,
  ],
  ['a glob that begins at the root', 'ci: {jobs: [{name: a, paths: [/x]}]}', /a glob of paths/],
  [
    'a glob with alternatives in parentheses',
    'ci: {jobs: [{name: a, paths: ["+(a|a)"]}]}',
    /a glob of paths/,
  ],
  [
    'an include outside of the repository',
    'ci: {include: [../x.yml]}',
    /a YAML file of this repository/,
  ],
] as const) {
  test(`settings with ${what} are refused`, async () => {
    assert.match((await errorOf((async () => parseSettings(`${yaml}\n`))())).message, message);
  });
}

test('a GitLab child pipeline has the jobs and nothing else, manual ones by hand', () => {
  const jobs = planJobs(table, ['modules/Orders/src/a.mjs'], 'push');
  const pipeline = parse(childPipeline(jobs, ['ci/jobs.yml']));
  assert.deepEqual(pipeline.include, [{ local: 'ci/jobs.yml' }]);
  assert.deepEqual(pipeline['module-version-check'], { script: ['ringlock ci versions'] });
  assert.deepEqual(pipeline['build-api'], { extends: '.build-api' });
  assert.deepEqual(pipeline['deploy-k8s'], { extends: '.deploy-k8s', when: 'manual' });
  assert.deepEqual(Object.keys(pipeline), ['include', 'workflow', ...jobs.map(({ name }) => name)]);
});

test('a child pipeline that fires nothing still has a job, since GitLab refuses one without', () => {
  const pipeline = parse(childPipeline([], []));
  assert.deepEqual(Object.keys(pipeline), ['workflow', 'nothing-to-do']);
});

test('a job with nothing to run is refused in words for GitLab', async () => {
  const jobs = planJobs(table, ['docs/a.md'], 'merge-request');
  const { code, message, hint } = await errorOf((async () => childPipeline(jobs, []))());
  assert.equal(code, 'job-without-script');
  assert.match(`${message} ${hint}`, /build-docs runs.*ci\.include/s);
});

test('a GitHub matrix is one line of JSON an output, whatever a job runs', () => {
  const jobs = [
    { name: 'a', run: ['echo "x"\necho evil=1', 'true'] },
    { name: 'b', run: undefined },
    { name: 'c', run: ['x'], when: 'manual' as const },
  ].map((job) => ({
    ...{ when: 'always' as const, paths: undefined, except: [], events: [], extends: undefined },
    ...{ because: [], ...job },
  }));
  const lines = githubOutputs(jobs).trimEnd().split('\n');
  const outputs = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  assert.deepEqual(JSON.parse(outputs['matrix'] ?? ''), {
    include: [{ name: 'a', run: 'echo "x"\necho evil=1\ntrue' }],
  });
  assert.deepEqual(JSON.parse(outputs['jobs'] ?? ''), ['a', 'b']);
  assert.deepEqual(JSON.parse(outputs['manual'] ?? ''), ['c']);
  assert.equal(outputs['any'], 'true');
  assert.equal(lines.length, 4);
});
