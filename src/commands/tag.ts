import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { type TagResult, tagVersions } from '../release/tag-versions.ts';
import { BaseCommand } from './base.ts';

export class TagCommand extends BaseCommand {
  static override paths = [['tag']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Tag the committed versions of modules as <alias>@<version>.',
    details: `
      Of the named modules, or of all. The tag is put on the commit whose lock first pinned the version
      with these bytes, else on HEAD. A tag that exists never moves: one with other bytes is refused.
    `,
    examples: [
      ['What would be tagged', 'ringlock tag --dry-run'],
      ['Tag every module, and push the tags', 'ringlock tag --push'],
    ],
  });

  aliases = Option.Rest({ name: 'alias' });
  push = Option.Boolean('--push', false, { description: 'Push the tags, all or none.' });
  remote = Option.String('--remote', 'origin', { description: 'Where to; origin by default.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Decide, and write nothing.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const results = await this.progress('Looking for tags…', () => tagVersions(repository, this));
    this.answer({
      dryRun: this.dryRun,
      tags: results.map(({ error, isNewAtRemote, ...result }) => ({
        ...result,
        pushed: isNewAtRemote && !this.dryRun,
        ...(error && { error: { code: error.code, message: error.message, hint: error.hint } }),
      })),
    });
    for (const result of results) this.sayResult(result);
    return results.some(({ state }) => state === 'refused') ? 1 : 0;
  }

  private sayResult({ tag, state, commit, isNewAtRemote, error }: TagResult): void {
    if (error !== undefined) {
      this.say(`${tag}  refused: ${error.message}`);
      if (error.hint !== undefined) this.say(`  → ${error.hint}`);
      return;
    }
    const what = state === 'exists' ? 'exists' : this.dryRun ? 'would be made' : 'made';
    const pushed = isNewAtRemote ? (this.dryRun ? ', would be pushed' : ', pushed') : '';
    this.say(`${tag}  ${what} at ${commit}${pushed}`);
  }
}
