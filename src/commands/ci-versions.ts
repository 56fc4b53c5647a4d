import { Command } from 'clipanion';
import { openRange } from '../ci/open-range.ts';
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
    `,
    examples: [
      ["In a merge request's pipeline", 'ringlock ci versions'],
      ['Before pushing a branch', 'ringlock ci versions --target main'],
      ['With a report for GitLab', 'ringlock ci versions --code-quality gl-code-quality.json'],
    ],
  });

  async run(): Promise<number> {
    const { range, findings, notices } = await this.progress('Comparing versions…', async () => {
      const opened = await openRange(this.cwd, process.env, this.request('all'));
      const found = await findVersionProblems(opened.repository, opened.range);
      return { range: opened.range, ...found };
    });
    return this.report(range, findings, notices, 'every changed module has a version of its own');
  }
}
