import { RinglockError } from '../errors.ts';
import { diskFailed } from '../store/disk-error.ts';
import type { Log } from './log.ts';
import type { OpenReconciler } from './open-reconciler.ts';
import { recoverOperation } from './recover-operation.ts';

type Parts = Pick<
  OpenReconciler,
  'reconciler' | 'root' | 'audit' | 'database' | 'status' | 'tally'
>;

/**
 * A pass that a failing disk does not end: what it left half-done before is finished first, what is
 * damaged in `repo.git` is deleted and fetched again, and a failure becomes the status. Says what to do
 * about a failure once.
 */
export function sturdyPass(parts: Parts, log: Log): (signal: AbortSignal) => Promise<void> {
  let said: string | undefined;
  return async (signal) => {
    await passWithoutThrowing(parts, log, signal);
    const hint = parts.status.current.last_error?.hint;
    if (hint !== undefined && hint !== said) log.warn(`what to do: ${hint}`);
    said = hint;
  };
}

async function passWithoutThrowing(
  { reconciler, root, audit, database, status, tally }: Parts,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  try {
    const restored = await root.restoreCurrent();
    if (restored !== undefined) log.warn('current had gone; it is back', { generation: restored });
    // Its events have to be in the audit before the next operation may begin (invariant 3).
    await recoverOperation(root, audit, log);
    await reconciler.reconcile(signal);
    database.dropCaches();
    const deleted = await database.mend();
    if (deleted.length === 0) return;
    log.warn('repo.git was damaged; what was is fetched again', { deleted });
    await reconciler.reconcile(signal);
  } catch (error) {
    if (signal.aborted) return;
    const failure = diskFailed(error, root.path);
    if (!(failure instanceof RinglockError) || failure.exitCode !== 3) throw failure;
    tally.failures.add({ code: failure.code });
    log.error(failure.message, { code: failure.code });
    await status.fail(failure);
  }
}
