import { realpathSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { findRepository } from '../git/git-command.ts';
import { installHooks } from '../git/hooks/install.ts';
import { initialisePlatform, planInitialisation } from '../git/initialise-platform.ts';
import { BaseCommand } from './base.ts';

export class InitCommand extends BaseCommand {
  static override paths = [['init']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Make a repository with modules/ a platform.',
    details: `
      Writes what is missing of VERSION, settings, rings, tenants, schemas and locks, and installs the git hooks and the merge driver. The last ring
      tracks modules/; each other is pinned, starts at the same versions, and promotes from the next.
      A single ring tracks. A file that is there is kept as it is.
    `,
    examples: [
      ['Three rings', 'ringlock init --yes'],
      ['One ring', 'ringlock init --rings stable --yes'],
    ],
  });

  rings = Option.String('--rings', {
    description: 'The rings, the one that tracks modules/ last (stable,edge,canary).',
  });
  yes = Option.Boolean('-y,--yes', false, { description: 'Write without asking.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const plan = await planInitialisation(repository, this.rings?.split(','));
    const missing = [...Object.keys(plan.files), ...plan.locks];
    for (const file of plan.kept) this.say(`kept     ${file}`);
    if (missing.length > 0 && !this.yes) await this.ask(missing);
    const written = await initialisePlatform(repository, plan);
    const hooks = await installHooks(repository, realpathSync(process.argv[1] ?? ''));
    for (const file of written) this.say(`written  ${file}`);
    this.say(`hooks    ${hooks.directory}`);
    this.say('merge    .gitattributes, for locks, rings and tenants');
    this.answer({ rings: plan.rings, written, kept: plan.kept, hooks });
    if (written.length > 0)
      this.say('  → git add -A && git commit -m "Pin the modules of every ring"');
    return 0;
  }

  private async ask(files: readonly string[]): Promise<void> {
    const input = this.context.stdin as NodeJS.ReadStream;
    if (!input.isTTY || this.json) {
      throw badInput('not-confirmed', `init would write ${files.join(', ')}`, {
        hint: 'Run it again with --yes.',
      });
    }
    for (const file of files) this.say(`missing  ${file}`);
    const terminal = createInterface({ input, output: this.context.stderr });
    const answer = await terminal.question('Write them? [y/N] ');
    terminal.close();
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw badInput('not-confirmed', 'nothing was written');
    }
  }
}
