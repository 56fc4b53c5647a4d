import { readFile } from 'node:fs/promises';
import { environmentFailed } from '../errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import { type StoreContext, statusPath } from './layout.ts';

/** `<root>/status.json`, the contract with whoever looks; field names are the file's. */
export interface RootStatus {
  readonly ring: string;
  readonly replica: string;
  readonly state: RootState;
  /** The repository's URL, credentials removed. */
  readonly repository: string;
  readonly branch: string;
  /** The branch's tip as last observed. */
  readonly commit: string | null;
  /** The commit whose lock the current generation is. */
  readonly converged_commit: string | null;
  readonly generation: number | null;
  /** `sha256:<hex>` of the effective lock. */
  readonly lock_digest: string | null;
  /** Alias → version of the current generation. */
  readonly modules: Readonly<Record<string, string>>;
  readonly last_error: StatusError | null;
  /** Times are RFC 3339, UTC. */
  readonly observed_at: string | null;
  readonly converged_at: string | null;
  /** When the next tick is due; null when none is. */
  readonly next_at?: string | null;
  /** Audit events not yet in Postgres; null without a database. */
  readonly outbox_pending: number | null;
  readonly ringlock_version: string;
}

export type RootState =
  | 'starting'
  | 'converged'
  | 'converging'
  | 'refused'
  | 'failed'
  | 'unreachable'
  | 'suspended';

export interface StatusError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly at: string;
}

/** Replaces status.json atomically. */
export async function writeStatus(context: StoreContext, status: RootStatus): Promise<void> {
  const { root, fault } = context;
  const text = `${JSON.stringify(status, null, 2)}\n`;
  await writeFileAtomically(statusPath(root), text, { mode: 0o644, fault });
}

/**
 * What a root last said of itself; undefined where no reconciler has run yet.
 *
 * @throws RinglockError `status-unreadable`, `disk-failed`
 */
export async function readStatus(root: string): Promise<RootStatus | undefined> {
  const path = statusPath(root);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw diskFailed(error, path);
  }
  try {
    const status = JSON.parse(text) as RootStatus;
    if (typeof status.ring === 'string' && typeof status.state === 'string') return status;
  } catch {
    // Said below, the same as for JSON of another shape.
  }
  throw environmentFailed('status-unreadable', `${path} is not a status that ringlock wrote`, {
    hint: 'The reconciler replaces it at its next tick; is this path the root of one?',
  });
}
