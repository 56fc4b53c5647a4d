import { Command, Option } from 'clipanion';
import { changeTenants, lockedAliases, tenantMessage } from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles, requireRing } from '../git/manifest-files.ts';
import { withNewTenant } from '../repo/tenant-edit.ts';
import { parseTenantsFile } from '../repo/tenants.ts';
import { BaseCommand } from './base.ts';

export class TenantAddCommand extends BaseCommand {
  static override paths = [['tenant', 'add']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Add a tenant to a ring.',
    details: `
      Writes it at the end of manifests/tenants.yaml, with today's date. Refused: a hostname that a ring
      or another tenant has, and a module that the ring's lock does not have.
    `,
    examples: [
      [
        'A shop with two modules',
        'ringlock tenant add acme --ring stable --hostname acme.example.com --module orders --module products',
      ],
    ],
  });

  tenant = Option.String({ name: 'tenant' });
  ring = Option.String('--ring', { required: true, description: 'The ring that serves it.' });
  name = Option.String('--name', { description: 'What people call it.' });
  hostnames = Option.Array('--hostname', [], { description: 'A hostname of it; again for more.' });
  modules = Option.Array('--module', [], { description: 'A module to enable; again for more.' });
  reason = Option.String('--reason', { description: 'Why it sits there, for the history.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Check, and write nothing.' });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit tenants.yaml, and nothing else.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    const { tenant: id, name, ring, hostnames, modules, reason } = this;
    requireRing(files, ring);
    const file = files.tenants ?? parseTenantsFile('tenants: {}\n');
    const since = new Date().toISOString().slice(0, 10);
    const tenant = { id, name, ring, hostnames, modules, reason, since };
    const text = withNewTenant(file, tenant, files.rings, lockedAliases(files, ring));
    const message = tenantMessage(`Add ${id} to ${ring}`, reason);
    const done = await changeTenants(repository, files.tenants?.text, text, message, this);
    this.answer({ tenant: id, ring, hostnames, modules, since, ...done, dry_run: this.dryRun });
    this.say(`${id} ${this.dryRun ? 'would be' : 'is'} on ${ring} in ${done.file}`);
    if (done.commit !== null) this.say(`committed as ${done.commit.slice(0, 12)}`);
    if (done.next !== null) this.say(`Next: ${done.next}`);
    return 0;
  }
}
