import { Command, Option } from 'clipanion';
import { askOperators } from '../reconcile/ask-operators.ts';
import { BaseCommand } from './base.ts';

export class AbortCommand extends BaseCommand {
  static override paths = [['abort']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: "Stop a ring's operation that is under way.",
    details: `
      No further replica switches, and those that have go back to the last good versions; what was
      aborted counts as failed, until it changes or \`ringlock retry\`. An operation that has a healthy
      majority is committed and cannot be aborted: revert its commit.

      In a pod (\`--root\`) or for a ring, through its database (\`--ring\` with \`--database-url\`,
      DATABASE_URL or DATABASE_URL_FILE).
    `,
    examples: [['Stop a rollout', '$0 abort --ring edge --reason "refunds fail"']],
  });

  root = Option.String('--root', { description: 'The root of a pod.' });
  ring = Option.String('--ring', { description: 'The ring.' });
  databaseUrl = Option.String('--database-url', { description: "The ring's database." });
  reason = Option.String('--reason', { required: true, description: 'Why, for whoever finds it.' });
  wait = Option.Boolean('--wait', true, { description: 'Wait until it is taken (default).' });

  async run(): Promise<number> {
    const request = { kind: 'abort' as const, reason: this.reason };
    const answer = await askOperators(this, request);
    this.answer(answer);
    this.say(answer.message);
    return 0;
  }
}
