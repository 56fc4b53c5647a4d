import { Command, Option } from 'clipanion';
import { registerEnvironment } from '../environment.ts';
import { listAvailable } from '../git/available-versions.ts';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { listModules } from '../git/list-modules.ts';
import { type PlatformSnapshot, readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { redact } from '../redaction.ts';
import { sourceOfRepository } from '../repo/module-manifest.ts';
import { openRegistries } from '../source/registry/open-registries.ts';
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

      \`--remote\` lists every version that a branch, a tag or a configured registry has, and which
      rings run it.
    `,
    examples: [
      ['Everything', 'ringlock list'],
      ['Versions there are', 'ringlock list --remote'],
      ['One ring, for a program', 'ringlock list --ring stable --json'],
    ],
  });

  ring = Option.String('--ring', { description: 'Only what this ring pins.' });

  remote = Option.Boolean('--remote', false, { description: 'Every version that there is.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    if (this.remote) return this.#listRemote(repository, snapshot);
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

  async #listRemote(repository: GitRepository, snapshot: PlatformSnapshot): Promise<number> {
    await registerEnvironment(process.env);
    const sourceOf = (alias: string) =>
      sourceOfRepository(snapshot.modules.get(alias)?.manifest.repository);
    const registries = openRegistries(snapshot.settings, process.env, { sourceOf });
    const { versions, unanswered } = await this.progress('asking for versions', () =>
      listAvailable(repository, snapshot, registries, this.ring),
    );
    this.answer({ versions, unanswered });
    const rows = versions.map(({ alias, version, git, registries: published, rings }) => [
      alias,
      version,
      [...(git ? ['git'] : []), ...published].join(', ') || '-',
      rings.join(', ') || '-',
    ]);
    this.say(formatTable(['module', 'version', 'had from', 'rings'], rows));
    for (const { registry, message } of unanswered) {
      this.context.stderr.write(`ringlock: ${redact(`${registry} was not asked: ${message}`)}\n`);
    }
    return unanswered.length === 0 ? 0 : 3;
  }
}
