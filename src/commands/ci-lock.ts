import { Command } from 'clipanion';
import { findLockProblems } from '../ci/lock-findings.ts';
import { openRange } from '../ci/open-range.ts';
import { BaseCiCommand } from './base-ci.ts';

export class CiLockCommand extends BaseCiCommand {
  static override paths = [['ci', 'lock']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Check the locks that a change commits.',
    details: `
      A tracking ring's lock has to be what modules/ says. An entry that the change gives to a pinned
      ring has to have the released bytes, and a tree that a deploy branch or a tag reaches.
    `,
    examples: [["In a merge request's pipeline", 'ringlock ci lock']],
  });

  async run(): Promise<number> {
    const { range, findings } = await this.progress('Checking locks…', async () => {
      const opened = await openRange(this.cwd, process.env, this.request('all'));
      return { ...opened, findings: await findLockProblems(opened.repository, opened.range) };
    });
    return this.report(range, findings, [], 'the locks are right');
  }
}
