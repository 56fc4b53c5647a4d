import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { runMergeDriver } from '../git/merge/merge-driver.ts';
import { BaseCommand } from './base.ts';

export class MergeDriverCommand extends BaseCommand {
  static override paths = [['merge-driver']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Merge a lock, tenants.yaml or a ring’s file by its entries; git calls it.',
    details: `
      \`ringlock hooks install\` tells git to run it for the files that .gitattributes names. The result
      is written over OURS. Exits 1 when conflict markers are left, and names what they are about.
      What is no lock or settings file that ringlock reads is merged line by line, as git does.
    `,
    examples: [
      [
        'As git runs it',
        'ringlock merge-driver .merge_file_a .merge_file_b .merge_file_c 7 manifests/edge.lock.json',
      ],
    ],
  });

  base = Option.String({ name: 'BASE' });
  ours = Option.String({ name: 'OURS' });
  theirs = Option.String({ name: 'THEIRS' });
  markerSize = Option.String({ name: 'MARKER-SIZE' });
  file = Option.String({ name: 'PATH' });
  labels = Option.Rest({ name: 'LABELS' });
  ancestor = Option.Boolean('--ancestor', false, {
    description: 'The result is the base of another merge: leave no conflict in it.',
  });

  async run(): Promise<number> {
    const { cwd, file: path, base, ours, theirs } = this;
    const outcome = await runMergeDriver({
      ...{ cwd, path, files: { base, ours, theirs }, isAncestor: this.ancestor },
      markerSize: this.size(),
      labels: this.markerLabels(),
      gitProcess: Number(process.env['RINGLOCK_GIT_PROCESS']) || undefined,
      environment: process.env,
    });
    this.answer({ path, ...outcome });
    if (outcome.clean || this.json) return outcome.clean ? 0 : 1;
    const { stderr } = this.context;
    if (outcome.how === 'text') {
      stderr.write(`ringlock: ${path} was merged line by line, with conflicts\n`);
      return 1;
    }
    stderr.write(`ringlock: ${path} has conflicts:\n`);
    for (const line of outcome.conflicts) stderr.write(`  ${line}\n`);
    if (path.endsWith('.lock.json')) {
      stderr.write('  → resolve modules/ first, then: ringlock lock && git add manifests\n');
    }
    return 1;
  }

  private size(): number {
    if (/^[1-9][0-9]{0,2}$/.test(this.markerSize)) return Number(this.markerSize);
    throw badInput(
      'bad-usage',
      `the marker size is ${JSON.stringify(this.markerSize)}, expected a number such as 7`,
    );
  }

  /** git before 2.44 leaves %S, %X and %Y as they are; then its heads have names in GITHEAD_<id>. */
  private markerLabels() {
    const [base, ours, theirs] = this.labels.map((label) =>
      /^%[SXY]$/.test(label) ? undefined : label,
    );
    const heads = Object.entries(process.env).filter(([name]) => name.startsWith('GITHEAD_'));
    const head = heads.length === 1 ? heads[0]?.[1] : undefined;
    return { base: base ?? 'base', ours: ours ?? 'ours', theirs: theirs ?? head ?? 'theirs' };
  }
}
