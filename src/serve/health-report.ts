import { lockFile } from '../repo/names.ts';
import type { RootStatus } from '../store/status-file.ts';

/** What `/api/health` answers: the root's state in short. */
export function healthReport(now: RootStatus) {
  return {
    status: now.generation === null ? 'starting' : now.degraded ? 'degraded' : 'ok',
    ring: { name: now.ring, lock_path: lockFile(now.ring) },
    state: now.state,
    commit: now.commit,
    converged_commit: now.converged_commit,
    generation: now.generation,
    modules: now.modules,
    holds: now.holds ?? {},
    held: now.held ?? {},
    degraded: now.degraded ?? null,
    operation: now.operation ?? null,
    last_error: now.last_error,
  };
}
