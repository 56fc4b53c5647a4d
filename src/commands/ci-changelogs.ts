import { Command } from 'clipanion';
import { findChangelogProblems } from '../ci/changelog-findings.ts';
import { openRange } from '../ci/open-range.ts';
import { BaseCiCommand } from './base-ci.ts';

export class CiChangelogsCommand extends BaseCiCommand {
  static override paths = [['ci', 'changelogs']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Warn of minor and major versions without a section in the changelog.',
    details: 'Advice: exit 0 also with warnings.',
    examples: [["In a merge request's pipeline", 'ringlock ci changelogs']],
  });

  async run(): Promise<number> {
    const { range, findings } = await this.progress('Reading changelogs…', async () => {
      const opened = await openRange(this.cwd, process.env, this.request('merge-base'));
      return { ...opened, findings: await findChangelogProblems(opened.repository, opened.range) };
    });
    return this.report(range, findings, [], 'the changelogs have what they should');
  }
}
