import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { readCompatibility } from '../git/ring-compatibility.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class CompatCommand extends BaseCommand {
  static override paths = [['compat']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Show whether every module can run on the platform.',
    details: `
      Compares each module's compatibility.platform and dependencies with VERSION and the other
      modules, or with --ring those that the ring's lock pins with the ring's own platform. Names
      cycles, and what falls because a dependency falls. Exits 1 when a module cannot run; with
      --strict also when one names no platform range.
    `,
    examples: [
      ['What is in modules/', 'ringlock compat'],
      ['What stable pins', 'ringlock compat --ring stable --strict'],
    ],
  });

  ring = Option.String('--ring', { description: 'What this ring pins.' });
  strict = Option.Boolean('--strict', false, {
    description: 'A module without a platform range fails too.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const { platform, modules, cycles } = await readCompatibility(
      repository,
      snapshot,
      this.ring,
      openPackages,
    );
    const rows = modules.map((module) => {
      const failing = !module.compatible || (this.strict && module.range === null);
      return { ...module, ok: !failing };
    });
    const ok = rows.every((row) => row.ok);
    this.answer({ ok, platform, modules: rows, cycles });
    this.say(`platform ${platform}`);
    this.say(
      formatTable(
        ['module', 'version', 'platform range', ''],
        rows.map(({ alias, version, range, ok: fits, compatible, known }) => [
          alias,
          version,
          range ?? '(any)',
          fits ? 'ok' : !known ? 'not known' : compatible ? 'no range' : 'incompatible',
        ]),
      ),
    );
    for (const { reasons } of rows) for (const reason of reasons) this.say(`  ${reason}`);
    if (rows.some((row) => !row.ok && row.known)) return 1;
    return ok ? 0 : 3;
  }
}
