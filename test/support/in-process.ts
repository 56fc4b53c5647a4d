import { openReconciler, type ReconcileOptions } from '../../src/reconcile/open-reconciler.ts';
import { exitCodeOf } from '../../src/reconcile/run-reconciler.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import type { ReconcileArguments } from './deploy.ts';
import { defaultOptions } from './reconcile-options.ts';

/**
 * One pass of the real reconciler in this process: as `reconcile --once`, but for what follows the pass
 * (delivery to Postgres, the SQLite file), in a tenth of the time.
 */
export async function passInProcess(
  { repo, root, ring = 'canary' }: ReconcileArguments,
  more: Partial<ReconcileOptions> = {},
): Promise<{ readonly code: number; readonly status: RootStatus }> {
  const silent = () => {};
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const opened = await openReconciler(
    { ...defaultOptions, repositories: [repo], root, ring, ...more },
    log,
  );
  try {
    const status = await opened.reconciler.reconcile(new AbortController().signal);
    await opened.root.collectGarbage();
    return { code: exitCodeOf('once', status), status };
  } finally {
    await opened.close();
  }
}
