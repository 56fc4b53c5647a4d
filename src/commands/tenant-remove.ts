import { Command, Option } from 'clipanion';
import { changeTenants, requireTenantsFile, tenantMessage } from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { withoutTenant } from '../repo/tenant-edit.ts';
import { requireTenant } from '../repo/tenants.ts';
import { BaseCommand } from './base.ts';

export class TenantRemoveCommand extends BaseCommand {
  static override paths = [['tenant', 'remove']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Remove a tenant.',
    details: `
      Takes its lines out of manifests/tenants.yaml; comments above them stay. Once committed, onDisable
      of its modules runs in its ring.
    `,
    examples: [['After its contract', 'ringlock tenant remove acme --reason "contract ended"']],
  });

  tenant = Option.String({ name: 'tenant' });
  reason = Option.String('--reason', { description: 'Why, for the history.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Check, and write nothing.' });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit tenants.yaml, and nothing else.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const file = requireTenantsFile(await readManifestFiles(repository));
    const { ring } = requireTenant(file, this.tenant);
    const text = withoutTenant(file, this.tenant);
    const message = tenantMessage(`Remove ${this.tenant} from ${ring}`, this.reason);
    const done = await changeTenants(repository, file.text, text, message, this);
    this.answer({ tenant: this.tenant, ring, ...done, dry_run: this.dryRun });
    this.say(`${this.tenant} ${this.dryRun ? 'would go' : 'is gone'} from ${ring} in ${done.file}`);
    if (done.commit !== null) this.say(`committed as ${done.commit.slice(0, 12)}`);
    if (done.next !== null) this.say(`Next: ${done.next}`);
    return 0;
  }
}
