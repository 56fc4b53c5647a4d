import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { listModules } from '../git/list-modules.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class ListCommand extends BaseCommand {
  static override paths = [['list']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'List the modules, and the version that each ring has.',
    details: `
      The modules of the work tree and of every ring's lock, with their versions side by side; with
      --ring only what that ring's lock pins.
    `,
    examples: [
      ['Everything', 'ringlock list'],
      ['One ring, for a program', 'ringlock list --ring stable --json'],
    ],
  });

  ring = Option.String('--ring', { description: 'Only what this ring pins.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const { rings, modules } = listModules(snapshot, this.ring);
    this.answer({ rings, modules });
    const heads =
      this.ring === undefined
        ? ['module', 'directory', 'version', ...rings]
        : ['module', 'directory', this.ring];
    this.say(
      formatTable(
        heads,
        modules.map(({ alias, directory, version, locked }) => [
          alias,
          directory ?? '',
          ...(this.ring === undefined ? [version ?? '-'] : []),
          ...rings.map((ring) => locked[ring] ?? '-'),
        ]),
      ),
    );
    return 0;
  }
}
