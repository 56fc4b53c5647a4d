import { Builtins, Cli, type CommandClass, UsageError } from 'clipanion';
import { redact } from './redaction.ts';

/** Every command by its path, loaded only when it is called. */
const commandTable: Readonly<Record<string, () => Promise<CommandClass>>> = {
  abort: async () => (await import('./commands/abort.ts')).AbortCommand,
  'audit export': async () => (await import('./commands/audit-export.ts')).AuditExportCommand,
  'audit resend': async () => (await import('./commands/audit-resend.ts')).AuditResendCommand,
  'audit verify': async () => (await import('./commands/audit-verify.ts')).AuditVerifyCommand,
  'audit write-sqlite': async () =>
    (await import('./commands/audit-write-sqlite.ts')).AuditWriteSqliteCommand,
  bump: async () => (await import('./commands/bump.ts')).BumpCommand,
  'ci changelogs': async () => (await import('./commands/ci-changelogs.ts')).CiChangelogsCommand,
  'ci lock': async () => (await import('./commands/ci-lock.ts')).CiLockCommand,
  'ci plan': async () => (await import('./commands/ci-plan.ts')).CiPlanCommand,
  'ci versions': async () => (await import('./commands/ci-versions.ts')).CiVersionsCommand,
  compat: async () => (await import('./commands/compat.ts')).CompatCommand,
  completion: async () => (await import('./commands/completion.ts')).CompletionCommand,
  diff: async () => (await import('./commands/diff.ts')).DiffCommand,
  history: async () => (await import('./commands/history.ts')).HistoryCommand,
  hold: async () => (await import('./commands/hold.ts')).HoldCommand,
  hook: async () => (await import('./commands/hook.ts')).HookCommand,
  'hooks install': async () => (await import('./commands/hooks-install.ts')).HooksInstallCommand,
  'hooks status': async () => (await import('./commands/hooks-status.ts')).HooksStatusCommand,
  'hooks uninstall': async () =>
    (await import('./commands/hooks-uninstall.ts')).HooksUninstallCommand,
  init: async () => (await import('./commands/init.ts')).InitCommand,
  install: async () => (await import('./commands/install.ts')).InstallCommand,
  list: async () => (await import('./commands/list.ts')).ListCommand,
  lock: async () => (await import('./commands/lock.ts')).LockCommand,
  'merge-driver': async () => (await import('./commands/merge-driver.ts')).MergeDriverCommand,
  mirror: async () => (await import('./commands/mirror.ts')).MirrorCommand,
  new: async () => (await import('./commands/new.ts')).NewCommand,
  package: async () => (await import('./commands/package.ts')).PackageCommand,
  reconcile: async () => (await import('./commands/reconcile.ts')).ReconcileCommand,
  release: async () => (await import('./commands/release.ts')).ReleaseCommand,
  retry: async () => (await import('./commands/retry.ts')).RetryCommand,
  rollback: async () => (await import('./commands/rollback.ts')).RollbackCommand,
  'ring add': async () => (await import('./commands/ring-add.ts')).RingAddCommand,
  'ring approve': async () => (await import('./commands/ring-approve.ts')).RingApproveCommand,
  'ring assign': async () => (await import('./commands/ring-assign.ts')).RingAssignCommand,
  'ring diff': async () => (await import('./commands/ring-diff.ts')).RingDiffCommand,
  'ring list': async () => (await import('./commands/ring-list.ts')).RingListCommand,
  'ring promote': async () => (await import('./commands/ring-promote.ts')).RingPromoteCommand,
  'ring remove': async () => (await import('./commands/ring-remove.ts')).RingRemoveCommand,
  'ring resume': async () => (await import('./commands/ring-resume.ts')).RingResumeCommand,
  'ring routes': async () => (await import('./commands/ring-routes.ts')).RingRoutesCommand,
  'ring show': async () => (await import('./commands/ring-show.ts')).RingShowCommand,
  'ring suspend': async () => (await import('./commands/ring-suspend.ts')).RingSuspendCommand,
  split: async () => (await import('./commands/split.ts')).SplitCommand,
  status: async () => (await import('./commands/status.ts')).StatusCommand,
  tag: async () => (await import('./commands/tag.ts')).TagCommand,
  'tenant add': async () => (await import('./commands/tenant-add.ts')).TenantAddCommand,
  'tenant disable': async () => (await import('./commands/tenant-disable.ts')).TenantDisableCommand,
  'tenant enable': async () => (await import('./commands/tenant-enable.ts')).TenantEnableCommand,
  'tenant list': async () => (await import('./commands/tenant-list.ts')).TenantListCommand,
  'tenant remove': async () => (await import('./commands/tenant-remove.ts')).TenantRemoveCommand,
  'tenant show': async () => (await import('./commands/tenant-show.ts')).TenantShowCommand,
  unhold: async () => (await import('./commands/unhold.ts')).UnholdCommand,
  upgrade: async () => (await import('./commands/upgrade.ts')).UpgradeCommand,
  verify: async () => (await import('./commands/verify.ts')).VerifyCommand,
  wait: async () => (await import('./commands/wait.ts')).WaitCommand,
};

/**
 * Runs one command line.
 *
 * @returns the exit code: the command's own, or 2 for a command line that is wrong
 */
export async function runCommandLine(argv: readonly string[], version: string): Promise<number> {
  // Whoever reads has enough (`| head`): the rest goes nowhere, and the command ends as it does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const args = withoutReferenceName(argv);
  const path = findCommand(args);
  const cli = new Cli({ binaryLabel: 'ringlock', binaryName: 'ringlock', binaryVersion: version });
  // A completion script is made from all commands.
  const wantsAll = path === undefined || path === 'completion';
  const loaders = wantsAll ? Object.values(commandTable) : [commandTable[path]];
  for (const load of loaders) if (load !== undefined) cli.register(await load());
  if (path === undefined) cli.register(Builtins.HelpCommand);
  try {
    return await cli.run(cli.process(args.length === 0 ? ['--help'] : args));
  } catch (error) {
    if (!(error instanceof UsageError || isUnknownSyntax(error))) throw error;
    process.stderr.write(redact(cli.error(error, { colored: false })));
    return 2;
  }
}

function isUnknownSyntax(error: unknown): error is Error {
  return error instanceof Error && error.name === 'UnknownSyntaxError';
}

/** The reference system's names: `module:lock` is `lock`, `ring:list` is `ring list`. */
function withoutReferenceName(args: readonly string[]): string[] {
  const [first = '', ...rest] = args;
  if (first.startsWith('module:')) return [first.slice('module:'.length), ...rest];
  if (/^(ring|tenant):/.test(first)) return [...first.split(':'), ...rest];
  return [...args];
}

/** The longest command path that the arguments start with. */
function findCommand(args: readonly string[]): string | undefined {
  const candidates = [args.slice(0, 2).join(' '), args[0] ?? ''];
  return candidates.find((path) => Object.hasOwn(commandTable, path));
}
