import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { type DoneSplit, splitDirectories } from '../release/split.ts';
import { BaseCommand } from './base.ts';

export class SplitCommand extends BaseCommand {
  static override paths = [['split']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Make of each module a history of its own, with the ids of git subtree split.',
    details: `
      Prints one "<commit>  <alias>" a line. All modules are split in one pass over history, and a second
      run reads only what is new. Objects are written; refs only with --branch.

      --prefix splits any directory of any repository, with no module.json or manifests, and prints
      "<commit>  <prefix>".

      A history that git subtree has added to or joined (git-subtree-dir trailers) is refused, with the
      reason; the other modules are split all the same.
    `,
    examples: [
      ['Every module', 'ringlock split --all'],
      ['One module, as a branch', 'ringlock split orders --branch split/{alias}'],
      ['Only what changed since the last push', 'ringlock split --all --since origin/main'],
      ['Every package of any repository', "ringlock split --prefix 'packages/*'"],
    ],
  });

  aliases = Option.Rest({ name: 'alias' });
  all = Option.Boolean('--all', false, { description: 'Every module.' });
  since = Option.String('--since', {
    description: 'Only those whose split is another one than at this revision.',
  });
  prefixes = Option.Array('--prefix', [], {
    description: 'A directory instead of a module; may be repeated; packages/* means every child.',
  });
  branch = Option.String('--branch', {
    description: 'Point this branch at the split; {alias} (or {prefix}) stands for its name.',
  });
  revision = Option.String('--revision', 'HEAD', { description: 'Split this commit.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const splits = await this.progress('Reading history…', () =>
      splitDirectories(repository, this),
    );
    this.answer({ splits: splits.map(described) });
    for (const { name, commit, refusal } of splits) {
      if (commit !== undefined) this.say(`${commit}  ${name}`);
      if (refusal === undefined || this.json) continue;
      this.context.stderr.write(`ringlock: ${name} is not split: ${refusal.message}\n`);
      if (refusal.hint !== undefined) this.context.stderr.write(`  ${refusal.hint}\n`);
    }
    return splits.some(({ refusal }) => refusal !== undefined) ? 1 : 0;
  }
}

function described({ name, directory, commit, before, branch, refusal }: DoneSplit): object {
  return {
    name,
    directory,
    commit: commit ?? null,
    before: before ?? null,
    branch: branch ?? null,
    ...(refusal && { error: { code: refusal.code, message: refusal.message, hint: refusal.hint } }),
  };
}
