import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { runMergeDriver } from '../git/merge/merge-driver.ts';
import { redact } from '../redaction.ts';
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
    const said = shown(path);
    if (outcome.how === 'text') {
      this.warn(`ringlock: ${said} was merged line by line, with conflicts`);
      return 1;
    }
    this.warn(`ringlock: ${said} has conflicts:`);
    for (const line of outcome.conflicts) this.warn(`  ${shown(line)}`);
    if (path.endsWith('.lock.json')) {
      this.warn('  → resolve modules/ first, then: ringlock lock && git add manifests');
    }
    return 1;
  }

  /** To standard error, which git shows beside its own words. */
  private warn(line: string): void {
    this.context.stderr.write(`${redact(line)}\n`);
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

/** Names and values come from a repository: none of them steers a terminal. */
function shown(text: string): string {
  return text.replace(/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, '?');
}
