import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { chooseAuditSource } from '../audit/choose-source.ts';
import { parseMoment } from '../audit/event-filter.ts';
import { exportAudit } from '../audit/export-audit.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { BaseCommand } from './base.ts';

export class AuditExportCommand extends BaseCommand {
  static override paths = [['audit', 'export']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Write audit events as JSON lines or CSV.',
    details: `
      All events of a database, or of one root (\`--root\`), ordered by chain and number, with their
      hashes: \`ringlock audit verify --file\` proves a JSONL export again. In CSV (RFC 4180) a text that
      a spreadsheet would take for a formula has an apostrophe before it.
    `,
    examples: [
      ['A year, for the auditor', 'ringlock audit export --since 2026-01-01 --output 2026.jsonl'],
      ['One module in one ring', 'ringlock audit export --format csv --ring edge --module orders'],
    ],
  });

  format = Option.String('--format', 'jsonl', {
    description: 'jsonl (default) or csv.',
    validator: t.isEnum(['jsonl', 'csv'] as const),
  });
  root = Option.String('--root', { description: 'Export the journal of this root.' });
  databaseUrl = Option.String('--database-url', { description: 'Export this database.' });
  since = Option.String('--since', { description: 'From this date or time on (UTC).' });
  until = Option.String('--until', { description: 'Before this date or time (UTC).' });
  ring = Option.String('--ring', { description: 'Only this ring.' });
  module = Option.String('--module', { description: 'Only this module, by its alias.' });
  outcome = Option.String('--outcome', {
    description: 'Only succeeded, refused, failed, reverted or superseded.',
    validator: t.isEnum(['succeeded', 'refused', 'failed', 'reverted', 'superseded'] as const),
  });
  output = Option.String('--output', {
    description: 'Write this file, whole or not at all, instead of standard output.',
  });

  async run(): Promise<number> {
    const source = await chooseAuditSource(this.root, this.databaseUrl, this.cwd);
    const { since, until, ring, module, outcome, format } = this;
    const filter = {
      ...{ ring, module, outcome },
      since: since === undefined ? undefined : parseMoment(since, '--since'),
      until: until === undefined ? undefined : parseMoment(until, '--until'),
    };
    if (this.output === undefined) {
      await exportAudit(source, filter, format, (pieces) => this.print(pieces));
      return 0;
    }
    const path = resolve(this.cwd, this.output);
    const events = await this.progress('Exporting…', () =>
      exportAudit(source, filter, format, (pieces) => writeFileAtomically(path, pieces)),
    );
    this.answer({ events, output: path });
    this.say(`${events} events written to ${path}`);
    return 0;
  }

  /** A reader that has enough (`| head`) ends it quietly. */
  private async print(pieces: AsyncIterable<string>): Promise<void> {
    try {
      await pipeline(pieces, this.context.stdout, { end: false });
    } catch (error) {
      if ((error as NodeJS.ErrnoException | null)?.code !== 'EPIPE') throw error;
    }
  }
}
