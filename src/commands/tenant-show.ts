import { Command, Option } from 'clipanion';
import { requireTenantsFile } from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { parseLock } from '../repo/lock.ts';
import { requireTenant } from '../repo/tenants.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class TenantShowCommand extends BaseCommand {
  static override paths = [['tenant', 'show']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Show one tenant: its ring, its hostnames, and the versions that it gets.',
    examples: [['One tenant', 'ringlock tenant show acme']],
  });

  tenant = Option.String({ name: 'tenant' });

  async run(): Promise<number> {
    const files = await readManifestFiles(await findRepository(this.cwd));
    const tenant = requireTenant(requireTenantsFile(files), this.tenant);
    const { id, name, ring, hostnames, reason, since } = tenant;
    const text = files.lockTexts.get(ring);
    const locked = text === undefined ? undefined : parseLock(text, ring).modules;
    const modules = tenant.modules.map((alias) => ({
      alias,
      version: locked?.get(alias)?.version ?? null,
    }));
    this.answer({
      ...{ id, name: name ?? null, ring, hostnames, modules },
      ...{ reason: reason ?? null, since: since ?? null },
    });
    const facts = [
      ['tenant', name === undefined ? id : `${id} (${name})`],
      ['ring', files.rings.has(ring) ? ring : `${ring}, which is no ring`],
      ['hostnames', hostnames.join(', ') || undefined],
      ['since', since],
      ['reason', reason],
    ];
    for (const [label, fact] of facts) if (fact) this.say(`${label?.padEnd(10)} ${fact}`);
    if (modules.length === 0) this.say('no modules');
    else {
      const rows = modules.map(({ alias, version }) => [alias, version ?? `not in ${ring}`]);
      this.say(`\n${formatTable(['MODULE', 'VERSION'], rows)}`);
    }
    return 0;
  }
}
