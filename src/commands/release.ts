import { Command, Option } from 'clipanion';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { readManifestFiles } from '../git/manifest-files.ts';
import { packagedTexts } from '../release/changelog-at.ts';
import { openForges } from '../release/open-forges.ts';
import { type ModulePackage, packageModule } from '../release/package-module.ts';
import { type ReleaseReport, releaseModule } from '../release/release-module.ts';
import { sourceOfRepository } from '../repo/module-manifest.ts';
import { openRegistries } from '../source/registry/open-registries.ts';
import { BaseCommand } from './base.ts';

export class ReleaseCommand extends BaseCommand {
  static override paths = [['release']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Publish a module to every registry, and make its release entry.',
    details: `
      Packages the version from git (see \`ringlock package\`), publishes it to every registry of
      manifests/ringlock.yaml and of MODULE_REGISTRY_URL, makes a release entry with the changelog's
      section at every forge under \`releases\`, and writes \`artifact\` and \`released_at\` into the
      locks of the work tree that pin these bytes.

      What is there already stays: run the same again after a failure. Another package under the same
      version is refused, before anything is published anywhere.
    `,
    examples: [
      ['The version at HEAD', 'ringlock release orders'],
      ['Only see what would be done', 'ringlock release orders --dry-run'],
      ['A hotfix from its tag', 'ringlock release orders@1.4.1'],
    ],
  });

  module = Option.String({ name: 'alias[@version|@revision]' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Look, and change nothing.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const made = await this.progress(`Packaging ${this.module}…`, () =>
      packageModule(repository, this.module),
    );
    const { alias, version } = made;
    const report = await this.progress(`Releasing ${alias} ${version}…`, () =>
      this.release(repository, made),
    );
    this.answer(this.document(made, report));
    this.describe(made, report);
    return 0;
  }

  private async release(repository: GitRepository, made: ModulePackage): Promise<ReleaseReport> {
    const { settings } = await readManifestFiles(repository);
    const { manifest, section } = await packagedTexts(repository, made);
    const source = sourceOfRepository(manifest.repository);
    const registries = openRegistries(settings, process.env, { sourceOf: () => source });
    const forges = openForges(settings, process.env);
    const { signal } = new AbortController();
    const { contentDigest, commit } = made;
    return releaseModule(
      { repository, registries, forges, dryRun: this.dryRun, signal },
      { module: made, contentDigest, commit, section },
    );
  }

  private document(made: ModulePackage, report: ReleaseReport) {
    const { alias, name, version, commit, tree, contentDigest, sha256, zip } = made;
    return {
      ...{ alias, name, version, commit, tree, sha256: contentDigest, dryRun: this.dryRun },
      artifact: { sha256, size_bytes: zip.length },
      registries: report.registries.map(({ registry, outcome, artifact }) => ({
        ...{ registry, outcome, url: artifact?.url ?? null },
        released_at: artifact?.released_at ?? null,
      })),
      entries: report.entries.map(({ forge, outcome }) => ({ forge, outcome: outcome ?? null })),
      locks: report.locks,
      next: this.next(made, report) ?? null,
    };
  }

  private describe(made: ModulePackage, report: ReleaseReport): void {
    const { alias, version, commit, sha256, zip } = made;
    this.say(`${alias} ${version} from ${commit.slice(0, 12)}, ${zip.length} bytes, ${sha256}`);
    for (const { registry, outcome, artifact } of report.registries) {
      const done = {
        published: 'published',
        same: 'there before',
        missing: 'to publish',
        failed: '',
      };
      this.say(`  ${done[outcome].padEnd(12)}  ${artifact?.url ?? registry}`);
    }
    for (const { forge, outcome } of report.entries) {
      const done = { created: 'entry made', completed: 'links added', same: 'there before' };
      this.say(`  ${(outcome === undefined ? 'entry' : done[outcome]).padEnd(12)}  ${forge}`);
    }
    for (const { file, outcome } of report.locks) {
      const words = {
        written: this.dryRun ? 'to write' : 'written',
        present: 'there before',
        conflicted: 'in a merge',
      };
      this.say(`  ${words[outcome].padEnd(12)}  ${file}`);
    }
    const next = this.next(made, report);
    if (next !== undefined) this.say(`  → ${next}`);
  }

  private next({ alias, version }: ModulePackage, { locks }: ReleaseReport): string | undefined {
    const written = locks.filter(({ outcome }) => outcome === 'written').map(({ file }) => file);
    if (written.length === 0 || this.dryRun) return undefined;
    return `git commit -m "Release ${alias} ${version}" -- ${written.join(' ')}`;
  }
}
