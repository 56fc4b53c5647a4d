import type { LockEntry } from './lock.ts';
import type { PinCommand } from './pin-change.ts';

/** A commit message that a reviewer understands without the diff. */
export function pinMessage(
  command: PinCommand,
  ring: string,
  changes: readonly {
    readonly alias: string;
    readonly before: LockEntry | undefined;
    readonly after: LockEntry;
  }[],
  reason: string | undefined,
): string {
  const verb = { install: 'Install', upgrade: 'Upgrade', rollback: 'Roll back' }[command];
  const [first] = changes;
  const what =
    changes.length === 1 && first !== undefined
      ? `${first.alias} ${command === 'install' ? '' : 'to '}${first.after.version}`
      : `${changes.length} modules`;
  const lines = changes.map(
    ({ alias, before, after }) =>
      `- ${alias}: ${before?.version ?? 'new'} → ${after.version} (${after.sha256.slice(0, 19)})`,
  );
  const why = reason === undefined ? [] : ['', reason];
  return `${[`${verb} ${what} in ${ring}`, '', ...lines, ...why].join('\n')}\n`;
}
