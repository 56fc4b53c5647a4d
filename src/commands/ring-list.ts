import { Command } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { ringOverviews } from '../git/ring-overview.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class RingListCommand extends BaseCommand {
  static override paths = [['ring', 'list']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'List the rings in the order versions move along them.',
    details: `
      Says of each ring where its versions come from, how many tenants and modules it has, which
      platform its modules are checked against, and the commit that last touched its lock.

      It reads manifests/ in the work tree; what a ring's pods really run is \`ringlock status\`.
    `,
    examples: [
      ['All rings', 'ringlock ring list'],
      ['For a script', 'ringlock ring list --json'],
    ],
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const overviews = await ringOverviews(repository, await readManifestFiles(repository));
    this.answer({
      rings: overviews.map(({ ring, tenants, platform, moduleCount, lastCommit }) => ({
        name: ring.name,
        default: ring.isDefault,
        tracking: ring.tracking,
        promotes_from: ring.promotesFrom ?? null,
        suspended: ring.suspended !== undefined,
        tenants: tenants.length,
        modules: moduleCount,
        platform,
        last_commit: lastCommit ?? null,
      })),
    });
    const rows = overviews.map(({ ring, tenants, platform, moduleCount, lastCommit }) => [
      `${ring.name}${ring.isDefault ? ' (default)' : ''}`,
      ring.tracking ? 'tracks modules/' : `from ${ring.promotesFrom ?? 'nowhere'}`,
      String(tenants.length),
      String(moduleCount),
      platform ?? 'no lock',
      lastCommit === undefined
        ? 'not committed'
        : `${lastCommit.commit.slice(0, 10)} ${lastCommit.date.slice(0, 10)} ${lastCommit.author}`,
    ]);
    this.say(formatTable(['RING', 'VERSIONS', 'TENANTS', 'MODULES', 'PLATFORM', 'LOCK'], rows));
    return 0;
  }
}
