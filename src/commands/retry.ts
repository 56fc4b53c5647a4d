import { Command, Option } from 'clipanion';
import { askOperators } from '../reconcile/ask-operators.ts';
import { BaseCommand } from './base.ts';

export class RetryCommand extends BaseCommand {
  static override paths = [['retry']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Try versions again that failed in a ring.',
    details: `
      A set of versions that came up sick, or whose migration or handler failed, is kept out until it
      changes. This forgets that it failed: all sets, or those with one of the given modules.

      In a pod (\`--root\`) or for a ring, through its database (\`--ring\` with \`--database-url\`,
      DATABASE_URL or DATABASE_URL_FILE).
    `,
    examples: [
      ['In a pod', '$0 retry --root /srv/modules'],
      ['For a ring', '$0 retry orders --ring edge'],
    ],
  });

  modules = Option.Rest({ name: 'module' });
  root = Option.String('--root', { description: 'The root of a pod.' });
  ring = Option.String('--ring', { description: 'The ring.' });
  databaseUrl = Option.String('--database-url', { description: "The ring's database." });
  wait = Option.Boolean('--wait', true, { description: 'Wait until it is taken (default).' });

  async run(): Promise<number> {
    const request = { kind: 'retry' as const, aliases: this.modules };
    const answer = await askOperators(this, request);
    this.answer(answer);
    this.say(answer.message);
    return 0;
  }
}
