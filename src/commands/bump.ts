import { Command, Option } from 'clipanion';
import { bumpModule } from '../git/bump-module.ts';
import { findRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { BaseCommand } from './base.ts';

export class BumpCommand extends BaseCommand {
  static override paths = [['bump']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Give a module its next free version, and its changelog a heading.',
    details: `
      Edits module.json and the changelog in the work tree. Versions that were released before are
      left out: after 1.0.1 was released and reverted, the next patch of 1.0.0 is 1.0.2. Dependents
      whose range the new version leaves are named; --dependents widens their ranges and
      patch-bumps them.
    `,
    examples: [
      ['A fix', 'ringlock bump orders patch -m "Round totals half up."'],
      ['A breaking change', 'ringlock bump orders major --dependents'],
      ['A version of your own', 'ringlock bump orders 2.0.0-beta.1'],
    ],
  });

  module = Option.String({ name: 'module' });
  version = Option.String({ name: 'patch|minor|major|prerelease|version' });
  dependents = Option.Boolean('--dependents', false, {
    description: 'Also widen and bump the modules whose range breaks.',
  });
  message = Option.String('-m,--message', 'Describe what changed.', {
    description: "The changelog's line.",
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const plan = await bumpModule(repository, snapshot, {
      module: this.module,
      version: this.version,
      dependents: this.dependents,
      entry: this.message,
      date: new Date().toISOString().slice(0, 10),
    });
    const bumps = plan.bumps.map((bump) => ({ ...bump, ranges: Object.fromEntries(bump.ranges) }));
    this.answer({ bumps, broken: plan.broken });
    for (const { alias, from, to, ranges } of plan.bumps) {
      const wider = [...ranges].map(([name, range]) => `, ${name} ${range}`).join('');
      this.say(`${alias} ${from} → ${to}${wider}`);
    }
    for (const { alias, dependency, range, version } of plan.broken) {
      this.say(`  ${alias} depends on ${dependency} ${range}, which ${version} leaves`);
    }
    if (plan.broken.length > 0) {
      this.say('  → widen these ranges and bump them; --dependents does both');
    }
    return 0;
  }
}
