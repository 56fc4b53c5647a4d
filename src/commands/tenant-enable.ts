import { Command, Option } from 'clipanion';
import {
  changeTenants,
  lockedAliases,
  requireTenantsFile,
  tenantMessage,
} from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { withModuleEnabled } from '../repo/tenant-edit.ts';
import { requireTenant } from '../repo/tenants.ts';
import { BaseCommand } from './base.ts';

export class TenantEnableCommand extends BaseCommand {
  static override paths = [['tenant', 'enable']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Enable a module for a tenant.',
    details: `
      Refused when the lock of the tenant's ring does not have the module. Once committed, the module's
      onEnable runs for the tenant.
    `,
    examples: [['A module more', 'ringlock tenant enable acme orders']],
  });

  tenant = Option.String({ name: 'tenant' });
  module = Option.String({ name: 'module' });
  reason = Option.String('--reason', { description: 'Why, for the history.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Check, and write nothing.' });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit tenants.yaml, and nothing else.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    const file = requireTenantsFile(files);
    const { tenant, module } = this;
    const { ring } = requireTenant(file, tenant);
    const text = withModuleEnabled(file, tenant, module, lockedAliases(files, ring));
    const message = tenantMessage(`Enable ${module} for ${tenant}`, this.reason);
    const done = await changeTenants(repository, file.text, text, message, this);
    this.answer({ tenant, module, ring, enabled: true, ...done, dry_run: this.dryRun });
    if (!done.changed) this.say(`${module} is enabled for ${tenant} already; nothing changed`);
    else {
      const verb = this.dryRun ? 'would be' : 'is';
      this.say(`${module} ${verb} enabled for ${tenant} (${ring}) in ${done.file}`);
    }
    if (done.commit !== null) this.say(`committed as ${done.commit.slice(0, 12)}`);
    if (done.next !== null) this.say(`Next: ${done.next}`);
    return 0;
  }
}
