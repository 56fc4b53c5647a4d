import { Command } from 'clipanion';
import { BaseCommand } from './base.ts';

export class ListCommand extends BaseCommand {
  static override paths = [['list']];
  static override usage = Command.Usage({ description: 'List the modules.' });

  async run(): Promise<number> {
    return 0;
  }
}
