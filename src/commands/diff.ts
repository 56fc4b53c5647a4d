import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import {
  type Comparison,
  compareCommits,
  compareRings,
  compareVersions,
} from '../git/compare-modules.ts';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import type { PackageSource } from '../git/package-source.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { code, differenceLines, differenceMarkdown } from '../repo/difference-text.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BaseCommand } from './base.ts';

export class DiffCommand extends BaseCommand {
  static override paths = [['diff']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Compare versions of a module, two rings, or what commits pin.',
    details: `
      Says versions, files with their sizes, changelog sections in between, migrations that would run,
      and what is needed of dependencies and platform. A range of commits compares every ring's lock
      (or that of \`--ring\`); \`--markdown\` is for the description of a merge request.
    `,
    examples: [
      ['Two versions', '$0 diff orders@1.0.0 orders@1.1.0'],
      ['What a promotion of everything would bring', '$0 diff --ring stable --ring canary'],
      ['What a merge request deploys', '$0 diff origin/main..HEAD --markdown'],
    ],
  });

  sides = Option.Rest({ name: 'version or range' });
  rings = Option.Array('--ring', [], { description: 'A ring; twice: compare the two.' });
  markdown = Option.Boolean('--markdown', false, { description: 'Markdown instead of text.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const compared = await this.progress('comparing', () => this.#compare(repository));
    const { from, to, platforms, modules } = compared;
    this.answer(compared);
    if (this.markdown) {
      const title = `${code(from)} → ${code(to)}`;
      this.say(differenceMarkdown(title, modules).trimEnd());
      for (const each of platforms) {
        this.say(`\n- platform of ${code(each.ring)} ${code(`${each.from} → ${each.to}`)}`);
      }
      return 0;
    }
    for (const each of platforms) {
      this.say(`platform of ${each.ring} ${each.from ?? 'none'} → ${each.to ?? 'none'}`);
    }
    for (const line of differenceLines(modules)) this.say(line);
    if (modules.length === 0 && platforms.length === 0) this.say(`${from} and ${to} pin the same`);
    return 0;
  }

  async #compare(repository: GitRepository): Promise<Comparison> {
    const [first = '', second] = this.sides;
    const [ring, other] = this.rings;
    const readSnapshot = async () => readPlatform(repository, await workTree(repository));
    const range = /^(.*?)\.\.(.*)$/.exec(first);
    if (
      this.sides.length === 1 &&
      range !== null &&
      this.rings.length <= 1 &&
      !range[2]?.startsWith('.')
    ) {
      // Two commits are compared whatever the work tree is like, unless they pin packages.
      let opened: Promise<PackageSource> | undefined;
      return compareCommits(repository, range[1] || 'HEAD', range[2] || 'HEAD', ring, {
        read: async (...asked) => {
          opened ??= readSnapshot().then((snapshot) => openPackages(snapshot, repository));
          return (await opened).read(...asked);
        },
      });
    }
    const snapshot = await readSnapshot();
    if (
      this.sides.length === 0 &&
      ring !== undefined &&
      other !== undefined &&
      this.rings.length === 2
    ) {
      return compareRings(repository, snapshot, ring, other, openPackages(snapshot, repository));
    }
    if (this.sides.length === 2 && second !== undefined && this.rings.length === 0) {
      return compareVersions(
        repository,
        snapshot,
        first,
        second,
        openPackages(snapshot, repository),
      );
    }
    throw badInput('diff-not-given', 'what to compare was not given', {
      hint: 'Give two of alias@version, --ring twice, or a range of commits A..B (with one --ring or none).',
    });
  }
}
