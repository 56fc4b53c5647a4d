import { resolve } from 'node:path';
import { Command, Option } from 'clipanion';
import { type ChainReport, HeadSearch } from '../audit/chain-report.ts';
import { describeChain, describeHead } from '../audit/describe-chain.ts';
import { verifyDatabase } from '../audit/verify-database.ts';
import { verifyExport } from '../audit/verify-export.ts';
import { verifyRoot } from '../audit/verify-root.ts';
import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import { BaseCommand } from './base.ts';

export class AuditVerifyCommand extends BaseCommand {
  static override paths = [['audit', 'verify']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Prove that no audit event was changed, lost, put in or moved.',
    details: `
      With \`--root\` the journal of a root: its chain of hashes, its SQLite copy, and, when a database
      is known too (\`--database-url\`, DATABASE_URL or DATABASE_URL_FILE), that Postgres has the same.
      With a database alone: the chain of every root that reports to it. The first event that is not
      as it was written is named. It only reads, also beside a reconciler that works.

      With \`--file\` an export, by itself.

      Whoever can write everything can write a whole chain anew: keep the printed head elsewhere, and
      give it back later with \`--expect-head\`. Exit 1 when a chain is broken or a head is not in it.
    `,
    examples: [
      ['A pod', 'ringlock audit verify --root /var/lib/ringlock'],
      ['All roots of a database', 'ringlock audit verify --database-url postgres://db/ringlock'],
    ],
  });

  root = Option.String('--root', { description: 'Verify the journal of this root.' });
  databaseUrl = Option.String('--database-url', {
    description: 'Compare the root with this database, or without a root verify its chains.',
  });
  ring = Option.String('--ring', { description: 'Only chains of this ring.' });
  replica = Option.String('--replica', { description: 'Only chains of this replica.' });
  file = Option.String('--file', { description: 'Verify an export (JSONL) instead.' });
  partial = Option.Boolean('--partial', false, {
    description: 'With --file: the export was filtered, events may be absent from it.',
  });
  expectHead = Option.Array('--expect-head', [], {
    description: 'A head that was printed earlier and has to be in the chain still.',
  });

  async run(): Promise<number> {
    const heads = new HeadSearch(this.expectHead);
    const chains = await this.progress('Verifying the audit…', () => this.verify(heads));
    if (chains.length === 0 && (this.ring ?? this.replica) !== undefined) {
      throw badInput('no-such-chain', 'no chain is of the ring and replica that are given');
    }
    const expected = heads.heads;
    const isRight =
      chains.every(({ breaks }) => breaks.length === 0) &&
      expected.every(({ sequence }) => sequence !== null);
    this.answer({ ok: isRight, chains, expected_heads: expected });
    if (chains.length === 0) this.say('no events');
    for (const chain of chains) this.say(describeChain(chain));
    for (const head of expected) this.say(describeHead(head));
    return isRight ? 0 : 1;
  }

  private async verify(heads: HeadSearch): Promise<ChainReport[]> {
    const { ring, replica, file } = this;
    if (file !== undefined) return this.verifyFile(file, heads);
    const url = this.databaseUrl ?? (await readSecret('DATABASE_URL'));
    if (this.root !== undefined) {
      const report = await verifyRoot(resolve(this.cwd, this.root), url, heads);
      return [report].filter((one) => isOf(one.ring, ring) && isOf(one.replica, replica));
    }
    if (url !== undefined) return verifyDatabase(url, { ring, replica }, heads);
    throw badInput('no-audit-source', 'neither a root nor a database is given to verify', {
      hint: 'Give --root DIR for one pod, --database-url URL (or DATABASE_URL, DATABASE_URL_FILE) for all, or both.',
    });
  }

  private verifyFile(file: string, heads: HeadSearch): Promise<ChainReport[]> {
    const others = [this.root, this.databaseUrl, this.ring, this.replica];
    if (others.some((other) => other !== undefined)) {
      throw badInput('two-audit-sources', '--file is given with another source, expected it alone');
    }
    return verifyExport(resolve(this.cwd, file), this.partial ? 'any' : 'beginning', heads);
  }
}

function isOf(found: string | null, wanted: string | undefined): boolean {
  return wanted === undefined || found === wanted;
}
