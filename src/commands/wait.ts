import { Command, Option } from 'clipanion';
import { chooseAuditSource } from '../audit/choose-source.ts';
import { readStatuses } from '../audit/queries.ts';
import { findRepository } from '../git/git-command.ts';
import { waitForCommit } from '../reconcile/wait-for-commit.ts';
import { parseDuration } from '../repo/duration.ts';
import { requireRingName } from '../repo/names.ts';
import { BaseCommand } from './base.ts';

export class WaitCommand extends BaseCommand {
  static override paths = [['wait']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Wait until a ring runs a commit.',
    details: `
      For pipelines: done when every replica of the ring has converged to the commit, or to a
      descendant that still contains what the commit changed in the ring's lock. It ends at once with
      1 when a replica refused the commit or a later commit changed it again, and with 1 when the time
      is over.

      Replicas are read from the database (\`--database-url\`, DATABASE_URL or DATABASE_URL_FILE), or
      from one root (\`--root\`). Commits are compared in the repository of the directory; one that is
      missing there is fetched from its first remote.
    `,
    examples: [['After a promotion was merged', '$0 wait --ring edge --commit HEAD --timeout 5m']],
  });

  ring = Option.String('--ring', { required: true, description: 'The ring.' });
  commit = Option.String('--commit', 'HEAD', { description: 'Any revision (HEAD).' });
  timeout = Option.String('--timeout', '10m', { description: 'How long to wait (10m).' });
  poll = Option.String('--poll', '1s', { description: 'Time between looks (1s).' });
  root = Option.String('--root', { description: 'Read the status of this root.' });
  databaseUrl = Option.String('--database-url', { description: 'Read this database.' });

  async run(): Promise<number> {
    const ring = requireRingName(this.ring);
    const source = await chooseAuditSource(this.root, this.databaseUrl, this.cwd);
    const commit = await waitForCommit({
      repository: await findRepository(this.cwd),
      ring,
      commit: this.commit,
      timeoutMs: parseDuration(this.timeout, '--timeout'),
      pollMs: parseDuration(this.poll, '--poll'),
      readReplicas: async () => (await readStatuses(source, ring)).filter(({ stale }) => !stale),
      onPending: (reason) => this.context.stderr.write(`waiting: ${reason}\n`),
    });
    this.say(`${ring} has converged to ${commit.slice(0, 12)}`);
    this.answer({ ring, commit, converged: true });
    return 0;
  }
}
