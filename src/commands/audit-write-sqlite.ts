import { join, resolve } from 'node:path';
import { Option } from 'clipanion';
import { writeSqlite } from '../audit/sqlite.ts';
import { BaseCommand } from './base.ts';

/** Not listed by --help: the reconciler runs it in a child process after an operation. */
export class AuditWriteSqliteCommand extends BaseCommand {
  static override paths = [['audit', 'write-sqlite']];

  root = Option.String('--root', { required: true });

  async run(): Promise<number> {
    const events = await writeSqlite(join(resolve(this.cwd, this.root), 'audit'));
    this.answer({ events });
    this.say(`${events} events written`);
    return 0;
  }
}
