import { Option } from 'clipanion';
import {
  changeTenants,
  lockedAliases,
  requireTenantsFile,
  tenantMessage,
} from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { withModuleDisabled, withModuleEnabled } from '../repo/tenant-edit.ts';
import { requireTenant } from '../repo/tenants.ts';
import { BaseCommand } from './base.ts';

/** What `tenant enable` and `tenant disable` share. */
export abstract class BaseTenantModuleCommand extends BaseCommand {
  tenant = Option.String({ name: 'tenant' });
  module = Option.String({ name: 'module' });
  reason = Option.String('--reason', { description: 'Why, for the history.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Check, and write nothing.' });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit tenants.yaml, and nothing else.',
  });

  protected async change(to: 'enabled' | 'disabled'): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    const file = requireTenantsFile(files);
    const { tenant, module } = this;
    const { ring } = requireTenant(file, tenant);
    const enabled = to === 'enabled';
    const edit = enabled ? withModuleEnabled : withModuleDisabled;
    const text = edit(file, tenant, module, lockedAliases(files, ring));
    const verb = enabled ? 'Enable' : 'Disable';
    const message = tenantMessage(`${verb} ${module} for ${tenant}`, this.reason);
    const done = await changeTenants(repository, file.text, text, message, this);
    this.answer({ tenant, module, ring, enabled, ...done, dry_run: this.dryRun });
    if (!done.changed) this.say(`${module} is ${to} for ${tenant} already; nothing changed`);
    else {
      const is = this.dryRun ? 'would be' : 'is';
      this.say(`${module} ${is} ${to} for ${tenant} (${ring}) in ${done.file}`);
    }
    if (done.commit !== null) this.say(`committed as ${done.commit.slice(0, 12)}`);
    if (done.next !== null) this.say(`Next: ${done.next}`);
    return 0;
  }
}
