import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles, requireLock, requireRing } from '../git/manifest-files.ts';
import { ringOverview } from '../git/ring-overview.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class RingShowCommand extends BaseCommand {
  static override paths = [['ring', 'show']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Show one ring: what it is, its tenants, its modules.',
    examples: [
      ['One ring', 'ringlock ring show edge'],
      ['With tenants and modules', 'ringlock ring show edge --tenants --modules'],
    ],
  });

  ring = Option.String({ name: 'ring' });
  tenants = Option.Boolean('--tenants', false, { description: 'Also list the tenants.' });
  modules = Option.Boolean('--modules', false, { description: 'Also list the pinned modules.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    const overview = await ringOverview(repository, files, requireRing(files, this.ring));
    const { ring, tenants, platform, moduleCount, lastCommit } = overview;
    const pinned = this.modules ? [...requireLock(files, ring.name).lock.modules] : [];
    this.answer({
      ...{
        name: ring.name,
        description: ring.description ?? null,
        namespace: ring.namespace ?? null,
      },
      ...{ hostnames: ring.hostnames, branch: ring.branch, default: ring.isDefault },
      ...{ tracking: ring.tracking, promotes_from: ring.promotesFrom ?? null },
      suspended: ring.suspended ?? null,
      holds: Object.fromEntries(ring.holds),
      ...{ platform, module_count: moduleCount, tenant_count: tenants.length },
      last_commit: lastCommit ?? null,
      ...(this.tenants && { tenants }),
      ...(this.modules && { modules: Object.fromEntries(pinned) }),
    });
    const facts = [
      ['ring', `${ring.name}${ring.isDefault ? ' (default)' : ''}`],
      ['about', ring.description],
      ['namespace', ring.namespace],
      ['hostnames', ring.hostnames.join(', ') || undefined],
      ['versions', ring.tracking ? 'tracks modules/' : `from ${ring.promotesFrom ?? 'nowhere'}`],
      ['branch', ring.branch],
      ['platform', platform ?? 'no lock'],
      ['modules', String(moduleCount)],
      ['tenants', String(tenants.length)],
      ['lock', lastCommit && `${lastCommit.commit} ${lastCommit.date} ${lastCommit.author}`],
      ['suspended', ring.suspended && (ring.suspended.reason ?? 'yes')],
    ];
    for (const [name, fact] of facts) if (fact) this.say(`${name?.padEnd(10)} ${fact}`);
    for (const [alias, { version, reason }] of ring.holds) {
      this.say(`hold       ${alias} at ${version}: ${reason}`);
    }
    if (this.tenants) {
      const rows = tenants.map((tenant) => [tenant.id, tenant.since ?? '', tenant.reason ?? '']);
      this.say(`\n${formatTable(['TENANT', 'SINCE', 'REASON'], rows)}`);
    }
    if (this.modules) {
      const rows = pinned.map(([alias, entry]) => [
        alias,
        entry.version,
        entry.sha256.slice(0, 19),
      ]);
      this.say(`\n${formatTable(['MODULE', 'VERSION', 'DIGEST'], rows)}`);
    }
    return 0;
  }
}
