import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ChaosRoot } from './chaos-ring.ts';
import type { Standing } from './checker.ts';

/** Asks whether a root says, later than now, that it has got where it should and sent its events. */
export function convergesFromNow(
  { root, databaseUrl }: Pick<ChaosRoot, 'root' | 'databaseUrl'>,
  { commit, state, orders }: Standing,
): () => boolean {
  const since = Date.now();
  const path = join(root, 'status.json');
  return () => {
    try {
      if (statSync(path).mtimeMs < since) return false;
      const status = JSON.parse(readFileSync(path, 'utf8'));
      const isThere =
        status.state === state &&
        status.converged_commit === commit &&
        (orders === undefined || (status.modules.orders === orders && status.operation === null));
      return isThere && (databaseUrl === undefined || status.outbox_pending === 0);
    } catch {
      return false;
    }
  };
}
