import { resolve } from 'node:path';
import { Option } from 'clipanion';
import { registerEnvironment } from '../environment.ts';
import { applyToRoot, type PassFlags, type WantedOnRoot } from '../reconcile/apply-to-root.ts';
import { type Log, openLog } from '../reconcile/log.ts';
import { registerUrl } from '../redaction.ts';
import { parseDuration } from '../repo/duration.ts';
import { version } from '../version.ts';
import { BaseCommand } from './base.ts';

/** Commands that may act on a root at once, by one pass of the reconciler where none runs. */
export abstract class BaseRootCommand extends BaseCommand {
  root = Option.String('--root', { description: 'Apply to this root at once, and hold it there.' });
  repo = Option.Array('--repo', [], {
    description: 'With --root: the repository (default: the one that the root follows).',
  });
  skipMigrations = Option.Boolean('--skip-migrations', false, {
    description: "With --root: leave the application's schema alone.",
  });
  databaseUrl = Option.String('--database-url', {
    description: 'With --root: PostgreSQL of the audit (default: DATABASE_URL).',
  });
  migrationsUrl = Option.String('--migrations-database-url', {
    description: "With --root: the application's PostgreSQL (MIGRATIONS_DATABASE_URL).",
  });
  healthUrl = Option.String('--health-url', { description: 'With --root: asked after a switch.' });
  notifyUrl = Option.String('--notify-url', { description: 'With --root: POSTed to after it.' });
  notifyCommand = Option.String('--notify-command', { description: 'With --root: run after it.' });
  modulesDir = Option.String('--modules-dir', {
    description: 'With --root: what a root of the strategy in-place keeps equal.',
  });
  timeout = Option.String('--timeout', '2m', {
    description: 'With --root: how long a reconciler that runs there may take to switch.',
  });
  caFile = Option.String('--ca-file', { description: 'With --root: certificates to trust.' });

  /** @returns the exit code */
  protected async changeRoot(
    wanted: Omit<WantedOnRoot, 'switchedWithinMs'>,
    from: string | undefined,
  ): Promise<number> {
    const switchedWithinMs = parseDuration(this.timeout, '--timeout');
    const { flags, log } = await this.pass();
    const { alias, entry, root } = wanted;
    const { generation, byReconciler } = await this.progress(`${alias} ${entry.version}`, () =>
      applyToRoot({ ...wanted, switchedWithinMs }, flags, log),
    );
    const by = byReconciler ? 'reconciler' : 'this command';
    this.answer({ alias, from: from ?? null, to: entry.version, generation, held: true, by });
    this.say(`${alias} is at ${entry.version} (${from ? `was ${from}` : 'new there'}), held there`);
    this.say(`  → ringlock unhold ${alias} --local --root ${root}`);
    return 0;
  }

  protected async pass(): Promise<{ readonly flags: PassFlags; readonly log: Log }> {
    await registerEnvironment(process.env);
    const { databaseUrl, migrationsUrl, healthUrl, notifyUrl } = this;
    for (const url of [...this.repo, databaseUrl, migrationsUrl, healthUrl, notifyUrl]) {
      registerUrl(url);
    }
    const { caFile, skipMigrations, notifyCommand, modulesDir: modulesDirectory } = this;
    const log = openLog(
      this.context.stderr,
      {},
      {
        format: undefined,
        level: process.env['RINGLOCK_LOG_LEVEL'] ?? (this.verbose ? 'info' : 'warn'),
        environment: process.env,
      },
    );
    return {
      log,
      flags: {
        repositories: this.repo,
        ...{ caFile, databaseUrl, migrationsUrl, skipMigrations, healthUrl, notifyUrl },
        ...{ notifyCommand, modulesDirectory },
        workingDirectory: this.cwd,
        environment: process.env,
        version,
      },
    };
  }

  protected rootPath(root: string): string {
    return resolve(this.cwd, root);
  }
}
