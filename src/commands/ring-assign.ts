import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import {
  type ChangedTenants,
  changeTenants,
  lockedAliases,
  requireTenantsFile,
  tenantMessage,
} from '../git/change-tenants.ts';
import { findRepository } from '../git/git-command.ts';
import { readManifestFiles, requireRing } from '../git/manifest-files.ts';
import { type Assignment, assignTenants } from '../repo/tenant-edit.ts';
import type { TenantsFile } from '../repo/tenants.ts';
import { BaseCommand } from './base.ts';

export class RingAssignCommand extends BaseCommand {
  static override paths = [['ring', 'assign']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Move tenants to another ring.',
    details: `
      Edits manifests/tenants.yaml in the work tree, comments and order kept, with the reason and
      today's date. Committing the edit moves the tenants: in the ring that they leave, onDisable of
      their modules runs, and in the other one onEnable.
    `,
    examples: [
      ['An opt-in', 'ringlock ring assign acme canary --reason "asked for the beta"'],
      ['Several', 'ringlock ring assign acme foo edge --reason "autumn wave"'],
      ['All of a ring', 'ringlock ring assign --from-ring canary edge --reason "beta is over"'],
    ],
  });

  names = Option.Rest({ name: 'tenants-and-ring', required: 1 });
  fromRing = Option.String('--from-ring', { description: 'All tenants of this ring.' });
  reason = Option.String('--reason', { required: true, description: 'Why, for the history.' });
  dryRun = Option.Boolean('--dry-run', false, {
    description: 'Say what would move; write nothing.',
  });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit tenants.yaml, and nothing else.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const files = await readManifestFiles(repository);
    this.requireNames();
    const to = this.names.at(-1) ?? '';
    requireRing(files, to);
    if (this.fromRing !== undefined) requireRing(files, this.fromRing);
    const file = requireTenantsFile(files);
    const { assignments, text } = assignTenants(
      file,
      this.tenants(file),
      to,
      lockedAliases(files, to),
      {
        reason: this.reason,
        since: new Date().toISOString().slice(0, 10),
      },
    );
    const done = await changeTenants(
      repository,
      file.text,
      text,
      this.message(assignments, to),
      this,
    );
    this.report(assignments, to, done);
    return 0;
  }

  private requireNames(): void {
    const isNamed = this.names.length > 1;
    if (isNamed !== (this.fromRing !== undefined)) return;
    throw badInput(
      'bad-usage',
      'expected the tenants that move and their ring, or --from-ring and the ring',
      {
        hint: 'ringlock ring assign acme edge --reason "…", or ringlock ring assign --from-ring canary edge --reason "…"',
      },
    );
  }

  private tenants({ tenants }: TenantsFile): string[] {
    if (this.fromRing === undefined) return this.names.slice(0, -1);
    return [...tenants.values()].filter(({ ring }) => ring === this.fromRing).map(({ id }) => id);
  }

  private message(assignments: readonly Assignment[], to: string): string {
    const moved = assignments.filter(({ changed }) => changed);
    const [first] = moved;
    if (moved.length === 1 && first !== undefined) {
      return tenantMessage(`Move ${first.tenant} from ${first.from} to ${to}`, this.reason);
    }
    const lines = moved.map(({ tenant, from }) => `- ${tenant}: ${from} → ${to}`);
    return tenantMessage(`Move ${moved.length} tenants to ${to}`, this.reason, lines);
  }

  private report(assignments: readonly Assignment[], to: string, done: ChangedTenants): void {
    const [only] = assignments;
    this.answer({
      ...(assignments.length === 1 && { tenant: only?.tenant, from: only?.from }),
      ...{ to, assignments, ...done, dry_run: this.dryRun },
    });
    for (const { tenant, from, changed, missing } of assignments) {
      const verb = this.dryRun ? 'would move' : 'moves';
      this.say(
        changed
          ? `${tenant} ${verb} from ${from} to ${to} in ${done.file}`
          : `${tenant} sits on ${to} already; nothing changed`,
      );
      if (changed && missing.length > 0)
        this.say(`  not in ${to}, so off there: ${missing.join(', ')}`);
    }
    if (assignments.length === 0) this.say(`No tenant sits on ${this.fromRing}; nothing changed`);
    if (done.commit !== null) this.say(`committed as ${done.commit.slice(0, 12)}`);
    if (done.next !== null) this.say(`Next: ${done.next}`);
  }
}
