import { Command, Option } from 'clipanion';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { type RingVerification, verifyRing } from '../git/verify-ring.ts';
import { verifyTenants } from '../git/verify-tenants.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BaseCommand } from './base.ts';

export class VerifyCommand extends BaseCommand {
  static override paths = [['verify']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Check that the rings can run what their locks pin.',
    details: `
      A tracking ring's lock is compared with the files in modules/. Of a pinned ring each entry's
      tree is read from git, its digest, version and alias are compared with the lock, and it must be
      reachable from the ring's branch or a tag (or have an artifact), so that no server deletes it.
      Of an entry without a tree the package is downloaded from its registry and compared.
      Both are checked against the ring's platform and each other. Every digest is computed afresh.
      Without --ring tenants.yaml is checked, too: rings that are none, hostnames that two claim.
    `,
    examples: [
      ['All rings', 'ringlock verify'],
      ['One ring', 'ringlock verify --ring stable'],
    ],
  });

  ring = Option.String('--ring', { description: 'Only this ring.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const rings = await this.progress('Verifying rings…', () => this.verifyRings(repository));
    const tenants = this.ring === undefined ? await verifyTenants(repository) : [];
    const isRight = rings.every(({ problems }) => problems.length === 0) && tenants.length === 0;
    this.answer({ ok: isRight, rings, tenants: { problems: tenants } });
    if (rings.length === 0) this.say('There are no rings: make them with `ringlock init`.');
    for (const { ring, tracking, modules, problems } of rings) {
      const kind = tracking ? 'tracks modules/' : 'pinned';
      const verdict = problems.length === 0 ? 'right' : `${problems.length} problems`;
      this.say(`${ring} (${kind}), ${modules} modules: ${verdict}`);
      for (const { message } of problems) this.say(`  ${message}`);
      if (tracking && problems.length > 0) this.say('  → ringlock lock, or mend what is named');
    }
    for (const problem of tenants) this.say(`manifests/tenants.yaml: ${problem}`);
    return isRight ? 0 : 1;
  }

  private async verifyRings(repository: GitRepository): Promise<RingVerification[]> {
    const tree = await workTree(repository);
    const snapshot = await readPlatform(repository, tree, { cache: false });
    const names = this.ring === undefined ? [...snapshot.rings.keys()] : [this.ring];
    const rings: RingVerification[] = [];
    for (const name of names)
      rings.push(await verifyRing(repository, snapshot, name, openPackages));
    return rings;
  }
}
