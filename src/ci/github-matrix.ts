import type { PlannedJob } from './plan-jobs.ts';

/**
 * The jobs as outputs of a step, for `>> "$GITHUB_OUTPUT"`: a matrix of those with something to run, the
 * names of all that fire, and of those that somebody starts by hand, since GitHub has no such jobs. Each
 * is one line of JSON, so that nothing in it can end its line.
 */
export function githubOutputs(jobs: readonly PlannedJob[]): string {
  const fired = jobs.filter(({ when }) => when === 'always');
  const include = fired.flatMap(({ name, run }) =>
    run === undefined ? [] : [{ name, run: run.join('\n') }],
  );
  const manual = jobs.filter(({ when }) => when === 'manual');
  const outputs = {
    matrix: { include },
    any: include.length > 0,
    jobs: fired.map(({ name }) => name),
    manual: manual.map(({ name }) => name),
  };
  return Object.entries(outputs)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}\n`)
    .join('');
}
