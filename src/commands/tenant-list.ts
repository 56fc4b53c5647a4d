import { Command, Option } from 'clipanion';
import { requireTenantsFile } from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles, requireRing } from '../git/manifest-files.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class TenantListCommand extends BaseCommand {
  static override paths = [['tenant', 'list']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'List the tenants, their rings and their modules.',
    examples: [
      ['Everybody', 'ringlock tenant list'],
      ['Who uses a module in a ring', 'ringlock tenant list --ring stable --module orders'],
    ],
  });

  ring = Option.String('--ring', { description: 'Only those of this ring.' });
  module = Option.String('--module', { description: 'Only those that have this module enabled.' });

  async run(): Promise<number> {
    const files = await readManifestFiles(await findRepository(this.cwd));
    if (this.ring !== undefined) requireRing(files, this.ring);
    const tenants = [...requireTenantsFile(files).tenants.values()]
      .filter(({ ring }) => this.ring === undefined || ring === this.ring)
      .filter(({ modules }) => this.module === undefined || modules.includes(this.module));
    this.answer({
      tenants: tenants.map(({ id, name, ring, hostnames, modules, reason, since }) => ({
        ...{ id, name: name ?? null, ring, hostnames, modules },
        ...{ reason: reason ?? null, since: since ?? null },
      })),
    });
    const rows = tenants.map(({ id, ring, since, modules, hostnames }) => [
      ...[id, ring, since ?? '', modules.join(' '), hostnames.join(' ')],
    ]);
    this.say(formatTable(['TENANT', 'RING', 'SINCE', 'MODULES', 'HOSTNAMES'], rows));
    return 0;
  }
}
