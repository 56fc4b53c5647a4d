import { resolve } from 'node:path';
import { Command, Option } from 'clipanion';
import { resendAudit } from '../audit/resend-audit.ts';
import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import { BaseCommand } from './base.ts';

export class AuditResendCommand extends BaseCommand {
  static override paths = [['audit', 'resend']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: "Send a root's audit to Postgres again, for what is missing there.",
    details: `
      For a database that was restored from an older backup, or lost rows: every event of the root's
      journal that is not there is added, and nothing that is there is touched. A reconciler may work
      meanwhile.
    `,
    examples: [['After a restore, in each pod', 'ringlock audit resend --root /var/lib/ringlock']],
  });

  root = Option.String('--root', {
    required: true,
    description: 'The root whose journal to send.',
  });
  databaseUrl = Option.String('--database-url', {
    description: 'The database (or DATABASE_URL, DATABASE_URL_FILE).',
  });

  async run(): Promise<number> {
    const url = this.databaseUrl ?? (await readSecret('DATABASE_URL'));
    if (url === undefined) {
      throw badInput('no-database', 'no database is given to send to', {
        hint: 'Give --database-url URL, or set DATABASE_URL or DATABASE_URL_FILE.',
      });
    }
    const root = resolve(this.cwd, this.root);
    const resent = await this.progress('Sending…', () => resendAudit(root, url));
    this.answer(resent);
    this.say(
      `${resent.added} of ${resent.events} events were missing in Postgres and are there now`,
    );
    return 0;
  }
}
