import { Command, Option } from 'clipanion';
import { type CiRange, findCiRange } from '../ci/ci-range.ts';
import { fixVersions, type VersionsFix } from '../ci/fix-versions.ts';
import { type OpenedRange, openRange } from '../ci/open-range.ts';
import { pushCommand } from '../ci/push-commit.ts';
import { findVersionProblems } from '../ci/version-findings.ts';
import { BaseCiCommand } from './base-ci.ts';

export class CiVersionsCommand extends BaseCiCommand {
  static override paths = [['ci', 'versions']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Check that every changed module has a version of its own.',
    details: `
      The rules of the hooks, for a pipeline: a changed module needs a greater version than where the
      change began, and than the target branch has now, since two branches may both bump to 1.0.1. A
      version that was released keeps its bytes.

      The target is that of the merge request (GitLab's and GitHub's variables are read), else the
      nearest deploy branch. It is fetched, as is the history that a shallow clone left out.

      --fix merges the target into the branch that is checked out, gives each module that needs one its
      next free version, with the changelog's section, locks again, and commits. Conflicts in anything
      but versions, changelog sections and locks leave everything as it was.
    `,
    examples: [
      ["In a merge request's pipeline", 'ringlock ci versions'],
      ['Before pushing a branch', 'ringlock ci versions --target main'],
      ['After another branch took the version', 'ringlock ci versions --fix'],
      ['With a report for GitLab', 'ringlock ci versions --code-quality gl-code-quality.json'],
    ],
  });

  fix = Option.Boolean('--fix', false, {
    description: 'Merge the target, take the next free versions, lock again, and commit.',
  });

  async run(): Promise<number> {
    const { fixed, range, findings, notices } = await this.progress(
      'Comparing versions…',
      async () => {
        const opened = await openRange(this.cwd, process.env, this.request('all'));
        const done = this.fix ? await this.fixed(opened) : undefined;
        const range = done?.range ?? opened.range;
        return {
          fixed: done?.fix,
          range,
          ...(await findVersionProblems(opened.repository, range)),
        };
      },
    );
    const told = [...describeFix(fixed, range), ...notices];
    return this.report(range, findings, told, 'every changed module has a version of its own', {
      ...(fixed && { fixed: { ...fixed, commit: fixed.commit ?? null } }),
    });
  }

  /** What is checked then is the change with the fix in it. */
  private async fixed({ repository, context, range }: OpenedRange) {
    const date = new Date().toISOString().slice(0, 10);
    const fix = await fixVersions(repository, range, date, process.env);
    if (fix.commit === undefined) return { fix, range };
    const request = { ...this.request('all'), head: fix.commit };
    return { fix, range: await findCiRange(repository, context, request) };
  }
}

function describeFix(fix: VersionsFix | undefined, range: CiRange): string[] {
  if (fix?.commit === undefined) return [];
  return [
    `${fix.merged ? 'merged and ' : ''}committed as ${fix.commit.slice(0, 12)}`,
    ...fix.versions.map(({ alias, from, to }) => `  ${alias} ${from} → ${to}`),
    `  → ${pushCommand(range)}`,
  ];
}
