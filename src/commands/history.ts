import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { chooseAuditSource } from '../audit/choose-source.ts';
import { readHistory } from '../audit/queries.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class HistoryCommand extends BaseCommand {
  static override paths = [['history']];
  static override usage = Command.Usage({
    category: 'Operate',
    description:
      'Show what was installed, upgraded, rolled back, repaired or removed, and by whom.',
    details: `
      Latest first, one line an event, of one module or of all. It reads the database that the
      rings report to (\`--database-url\`, DATABASE_URL or DATABASE_URL_FILE), or the journal of one
      root (\`--root\`), whose chain of hashes it checks.
    `,
    examples: [
      [
        'When Orders 1.4.2 shipped to edge, and by whose commit',
        'ringlock history orders --ring edge --to 1.4.2',
      ],
      ['In a pod, without the database', 'ringlock history --root /var/lib/ringlock'],
    ],
  });

  alias = Option.String({ name: 'alias', required: false });
  ring = Option.String('--ring', { description: 'Only this ring.' });
  to = Option.String('--to', { description: 'Only what led to this version.' });
  root = Option.String('--root', { description: 'Read the journal of this root.' });
  databaseUrl = Option.String('--database-url', { description: 'Read this database.' });
  limit = Option.String('--limit', '50', {
    description: 'The most events to show (default 50).',
    validator: t.cascade(t.isNumber(), [t.isInteger(), t.isAtLeast(1)]),
  });

  async run(): Promise<number> {
    const source = await chooseAuditSource(this.root, this.databaseUrl, this.cwd);
    const { alias, ring, to, limit } = this;
    const events = await readHistory(source, { alias, ring, to, limit });
    this.answer({ events });
    const rows = events.map((event) => [
      event.time,
      event.ring,
      event.module ?? `(${event.action})`,
      `${event.from ?? '-'} → ${event.to ?? '-'}`,
      event.outcome === 'succeeded' ? event.action : `${event.action} ${event.outcome}`,
      event.actor,
      event.commit?.slice(0, 10) ?? '-',
      event.replica,
    ]);
    const heads = ['TIME', 'RING', 'MODULE', 'VERSION', 'OUTCOME', 'ACTOR', 'COMMIT', 'REPLICA'];
    this.say(rows.length === 0 ? 'no events' : formatTable(heads, rows));
    return 0;
  }
}
