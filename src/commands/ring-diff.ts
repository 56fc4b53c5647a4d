import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles, requireLock, requireRing } from '../git/manifest-files.ts';
import {
  outlookLines,
  type RingDifference,
  ringDifference,
  ringDifferenceMarkdown,
  sameWords,
  stateWords,
} from '../repo/ring-difference.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class RingDiffCommand extends BaseCommand {
  static override paths = [['ring', 'diff']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Compare two rings: versions, platform, holds, tenants, and what is to promote.',
    details: `
      Reads the committed files of the work tree only, so it is quick. What the versions bring, file by
      file with changelogs and migrations, is \`ringlock diff --ring edge --ring canary\`.
    `,
    examples: [
      ['What canary has that edge has not', 'ringlock ring diff canary edge'],
      ['For a merge request', 'ringlock ring diff canary edge --markdown'],
    ],
  });

  first = Option.String({ name: 'ring' });
  second = Option.String({ name: 'other ring' });
  markdown = Option.Boolean('--markdown', false, { description: 'Markdown instead of text.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    const side = (name: string) => ({
      ring: requireRing(files, name),
      lock: requireLock(files, name).lock,
      tenants: [...(files.tenants?.tenants.values() ?? [])].filter(({ ring }) => ring === name)
        .length,
    });
    const difference = ringDifference(side(this.first), side(this.second));
    this.answer(difference);
    if (this.markdown) this.say(ringDifferenceMarkdown(difference).trimEnd());
    else this.#describe(difference);
    return 0;
  }

  #describe(difference: RingDifference): void {
    const { first, second, modules, promotion } = difference;
    const suspended = ({ suspended: is }: { suspended: boolean }) => (is ? 'yes' : 'no');
    const rows = [
      ['platform', first.platform, second.platform, ''],
      ['tenants', String(first.tenants), String(second.tenants), ''],
      ['suspended', suspended(first), suspended(second), ''],
      ...modules.map((each) => [
        ...[each.alias, each.first ?? '-', each.second ?? '-'],
        stateWords(each, difference),
      ]),
    ];
    this.say(formatTable(['', first.name, second.name, ''], rows));
    this.say(sameWords(difference));
    for (const { name, holds } of [first, second]) {
      for (const [alias, { version, reason }] of Object.entries(holds)) {
        this.say(`${name} holds ${alias} at ${version}: ${reason}`);
      }
    }
    for (const line of outlookLines(difference)) this.say(line);
    const { from, to } = promotion ?? { from: first.name, to: second.name };
    if (modules.length > 0) this.say(`  → ringlock diff --ring ${to} --ring ${from}`);
  }
}
