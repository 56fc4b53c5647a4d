import { Command, Option } from 'clipanion';
import { chooseAuditSource } from '../audit/choose-source.ts';
import { readStatuses, statusExitCode } from '../audit/queries.ts';
import { formatTable } from '../table.ts';
import { BaseCommand } from './base.ts';

export class StatusCommand extends BaseCommand {
  static override paths = [['status']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Show what each ring runs, and what stands in its way.',
    details: `
      Of one root (\`--root\`), or of every replica that reports to the database
      (\`--database-url\`, DATABASE_URL or DATABASE_URL_FILE).

      With \`--exit-code\` it ends with 0 when all have converged, 1 when one has not (also refused,
      failed or suspended), 3 when a ring's repository is unreachable or nothing is known. Replicas
      silent for 15 minutes are shown as gone and do not count.
    `,
    examples: [
      ['In a pod', 'ringlock status --root /var/lib/ringlock'],
      ['In a pipeline', 'ringlock status --ring edge --exit-code'],
    ],
  });

  root = Option.String('--root', { description: 'Read the status of this root.' });
  databaseUrl = Option.String('--database-url', { description: 'Read this database.' });
  ring = Option.String('--ring', { description: 'Only this ring.' });
  exitCode = Option.Boolean('--exit-code', false, {
    description: 'End with 1 or 3 if not converged.',
  });

  async run(): Promise<number> {
    const source = await chooseAuditSource(this.root, this.databaseUrl, this.cwd);
    const replicas = await readStatuses(source, this.ring);
    this.answer({ replicas });
    const rows = replicas.map((replica) => [
      replica.ring,
      replica.replica,
      replica.stale ? `gone (${replica.state})` : replica.state,
      replica.converged_commit?.slice(0, 10) ?? '-',
      replica.commit?.slice(0, 10) ?? '-',
      String(replica.generation ?? '-'),
      replica.outbox_pending === null ? '-' : String(replica.outbox_pending),
      replica.observed_at ?? '-',
    ]);
    const heads = ['RING', 'REPLICA', 'STATE', 'RUNS', 'TIP', 'GENERATION', 'UNSENT', 'SEEN'];
    this.say(rows.length === 0 ? 'no reconciler has reported yet' : formatTable(heads, rows));
    for (const { ring, replica, last_error: error } of replicas) {
      if (error !== null)
        this.say(`\n${ring} ${replica}: ${error.message} (${error.code}, ${error.at})`);
    }
    for (const { ring, replica, holds = {}, held = {}, operation } of replicas) {
      const where = `${ring} ${replica}`;
      for (const [alias, { version, reason, by }] of Object.entries(holds)) {
        this.say(`\n${where}: ${by} holds ${alias} at ${version ?? 'nothing'}: ${reason}`);
      }
      for (const [alias, reason] of Object.entries(held)) {
        this.say(`\n${where}: ${alias} stays at its last good version: ${reason}`);
      }
      if (operation) this.say(`\n${where}: ${operation.phase} since ${operation.since}`);
    }
    return this.exitCode ? statusExitCode(replicas) : 0;
  }
}
