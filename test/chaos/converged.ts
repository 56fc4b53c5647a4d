import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Asks whether a root says, later than now, that it has converged to a commit and sent its events. */
export function convergesFromNow(root: string, commit: string): () => boolean {
  const since = Date.now();
  const path = join(root, 'status.json');
  return () => {
    try {
      if (statSync(path).mtimeMs < since) return false;
      const status = JSON.parse(readFileSync(path, 'utf8'));
      const { state, converged_commit, outbox_pending } = status;
      return state === 'converged' && converged_commit === commit && outbox_pending === 0;
    } catch {
      return false;
    }
  };
}
