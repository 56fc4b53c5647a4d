import { Command, Option } from 'clipanion';
import { assignTenant } from '../git/assign-tenant.ts';
import { findRepository } from '../git/git-command.ts';
import { tenantsFile } from '../repo/names.ts';
import { BaseCommand } from './base.ts';

export class RingAssignCommand extends BaseCommand {
  static override paths = [['ring', 'assign']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Move a tenant to another ring.',
    details: `
      Edits manifests/tenants.yaml in the work tree, comments and order kept, with the reason and
      today's date. Committing the edit moves the tenant.
    `,
    examples: [['An opt-in', 'ringlock ring assign acme canary --reason "asked for the beta"']],
  });

  tenant = Option.String({ name: 'tenant' });
  ring = Option.String({ name: 'ring' });
  reason = Option.String('--reason', { required: true, description: 'Why, for the history.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const today = new Date().toISOString().slice(0, 10);
    const done = await assignTenant(repository, this.tenant, this.ring, this.reason, today);
    const message = `Move ${done.tenant} from ${done.from} to ${done.to}`;
    const next = `git commit -m ${JSON.stringify(message)} -- ${tenantsFile}`;
    this.answer({ ...done, file: tenantsFile, next: done.changed ? next : null });
    if (!done.changed) {
      this.say(`${done.tenant} sits on ${done.to} already; nothing changed`);
      return 0;
    }
    this.say(`${done.tenant} moves from ${done.from} to ${done.to} in ${tenantsFile}`);
    this.say(`Next: ${next}`);
    return 0;
  }
}
