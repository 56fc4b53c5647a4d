import { openReconciler, type ReconcileOptions } from '../../src/reconcile/open-reconciler.ts';
import { exitCodeOf } from '../../src/reconcile/run-reconciler.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import type { ReconcileArguments } from './deploy.ts';

/**
 * One pass of the real reconciler in this process: as `reconcile --once`, but for what follows the pass
 * (delivery to Postgres, the SQLite file), in a tenth of the time.
 */
export async function passInProcess(
  { repo, root, ring = 'canary' }: ReconcileArguments,
  more: Partial<ReconcileOptions> = {},
): Promise<{ readonly code: number; readonly status: RootStatus }> {
  const silent = () => {};
  const log = { info: silent, warn: silent, error: silent };
  const opened = await openReconciler({ ...defaults, repository: repo, root, ring, ...more }, log);
  try {
    const status = await opened.reconciler.reconcile(new AbortController().signal);
    await opened.root.collectGarbage();
    return { code: exitCodeOf('once', status), status };
  } finally {
    await opened.close();
  }
}

const defaults: Omit<ReconcileOptions, 'repository' | 'root' | 'ring'> = {
  workingDirectory: '/',
  branch: 'main',
  databaseUrl: undefined,
  seed: undefined,
  link: 'symlink',
  replica: 'r0',
  platformFile: undefined,
  allowRewind: false,
  adopt: false,
  timeoutMs: 600_000,
  idleTimeoutMs: 30_000,
  contentCheckMs: 600_000,
  migrationsUrl: undefined,
  skipMigrations: false,
  healthUrl: undefined,
  notifyUrl: undefined,
  notifyCommand: undefined,
  replicas: 1,
  ringState: undefined,
  databaseGraceMs: 60_000,
  nextLook: undefined,
  keepGenerations: 10,
  retainForMs: 86_400_000,
  environment: {},
  version: 'test',
};
