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
      Of an entry without a tree the package is downloaded from its registry and compared; one that
      was verified before is not downloaded again while the registry says that it has the same bytes.
      Both are checked against the ring's platform and each other. Without --ring tenants.yaml is
      checked, too: rings that are none, hostnames that two claim. Exit code 3 says that nothing was
      found wrong, but a registry is away.
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
    const problems = rings.flatMap((ring) => ring.problems);
    const tenants = this.ring === undefined ? await verifyTenants(repository) : [];
    const isRight = problems.length === 0 && tenants.length === 0;
    this.answer({ ok: isRight, rings, tenants: { problems: tenants } });
    if (rings.length === 0) this.say('There are no rings: make them with `ringlock init`.');
    for (const ring of rings) this.sayRing(ring);
    for (const problem of tenants) this.say(`manifests/tenants.yaml: ${problem}`);
    if (tenants.length > 0 || problems.some(({ known }) => known)) return 1;
    return problems.length > 0 ? 3 : 0;
  }

  private sayRing({ ring, tracking, modules, problems }: RingVerification): void {
    const wrong = problems.filter(({ known }) => known).length;
    const verdict = [
      ...(wrong > 0 ? [`${wrong} problems`] : []),
      ...(wrong < problems.length ? [`${problems.length - wrong} not verified`] : []),
    ];
    const kind = tracking ? 'tracks modules/' : 'pinned';
    this.say(`${ring} (${kind}), ${modules} modules: ${verdict.join(', ') || 'right'}`);
    for (const { message } of problems) this.say(`  ${message}`);
    if (tracking && wrong > 0) this.say('  → ringlock lock, or mend what is named');
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
