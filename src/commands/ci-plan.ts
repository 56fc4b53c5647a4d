import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { changedPaths } from '../ci/changed-paths.ts';
import { childPipeline } from '../ci/child-pipeline.ts';
import { githubOutputs } from '../ci/github-matrix.ts';
import { openRange } from '../ci/open-range.ts';
import { type PlannedJob, planJobs } from '../ci/plan-jobs.ts';
import { printableName } from '../ci/printable.ts';
import { formatTable } from '../table.ts';
import { BaseRangeCommand } from './base-range.ts';

export class CiPlanCommand extends BaseRangeCommand {
  static override paths = [['ci', 'plan']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Say which jobs a change fires.',
    details: `
      The table of paths is that of ci.jobs in manifests/ringlock.yaml, else the usual one. A change is
      compared with where it began: the merge base with the target, or what a deploy branch was before
      the push. Outside of a pipeline, and without --event, the plan is of both.

      --format gitlab prints a child pipeline, --format github outputs of a step with a matrix.
    `,
    examples: [
      ['What would a branch fire', 'ringlock ci plan --target main'],
      ['A GitLab child pipeline', 'ringlock ci plan --format gitlab > plan.yml'],
      ['A GitHub matrix', 'ringlock ci plan --format github >> "$GITHUB_OUTPUT"'],
    ],
  });

  event = Option.String('--event', {
    validator: t.isEnum(['merge-request', 'push'] as const),
    description: 'merge-request or push; what the pipeline says by default.',
  });
  format = Option.String('--format', 'text', {
    validator: t.isEnum(['text', 'json', 'gitlab', 'github'] as const),
    description: 'text, json, gitlab or github.',
  });

  async run(): Promise<number> {
    if (this.format === 'json') this.json = true;
    const { range, changed } = await this.progress('Reading the change…', async () => {
      const opened = await openRange(this.cwd, process.env, this.request('merge-base'));
      const { base, head: commit } = opened.range;
      return { ...opened, changed: await changedPaths(opened.repository, base, commit) };
    });
    const { jobs: table, include } = range.snapshot.settings.ci;
    const event = this.event ?? range.event;
    const jobs = planJobs(table, changed, event);
    if (this.format === 'gitlab') this.say(childPipeline(jobs, include).trimEnd());
    else if (this.format === 'github') this.say(githubOutputs(jobs).trimEnd());
    else this.sayPlan(jobs, changed.length);
    this.answer({
      ...{ event: event ?? null, base: range.base ?? null, head: range.head },
      ...{ changed: changed.length, jobs: jobs.map(described) },
    });
    return 0;
  }

  private sayPlan(jobs: readonly PlannedJob[], changed: number): void {
    if (jobs.length === 0) this.say(`${changed} changed files fire no job`);
    else {
      const rows = jobs.map(({ name, when, events, because: [first, ...rest] }) => [
        ...[name, when, events.join(', ')],
        first === undefined
          ? 'every change'
          : `${printableName(first)}${rest.length > 0 ? ` and ${rest.length} more` : ''}`,
      ]);
      this.say(formatTable(['JOB', 'WHEN', 'EVENTS', 'BECAUSE OF'], rows));
    }
  }
}

function described({ name, when, events, run, because }: PlannedJob): object {
  return { name, when, events, run: run ?? null, because };
}
