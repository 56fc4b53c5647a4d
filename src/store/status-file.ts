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
  /** The repository's URL, the first of several, credentials removed. */
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
  /** When what failed is tried again; null while nothing has. */
  readonly next_at?: string | null;
  /** Audit events not yet in Postgres; null without a database. */
  readonly outbox_pending: number | null;
  readonly ringlock_version: string;
  // What follows is absent from the status of a version before.
  /** The URL that answered last; null when none has in this process. */
  readonly answered_by?: string | null;
  /** The operation under way; null when there is none. */
  readonly operation?: StatusOperation | null;
  /** Modules that a person keeps at a version, by alias; a null version keeps it out. */
  readonly holds?: Readonly<Record<string, StatusHold>>;
  /** Modules at their last good version because a newer one failed: alias → why. */
  readonly held?: Readonly<Record<string, string>>;
  /** Why the application is not well with what is served; null when it is, or is not asked. */
  readonly degraded?: string | null;
  /** Whether a rewind would be seen: false for a first contact without a seed or a ring that knows. */
  readonly anchored?: boolean;
  /** The commit whose signature was verified last; null while signatures are not asked for. */
  readonly verified?: StatusVerified | null;
  /** Reconcilers of this root that were killed, or ended by themselves; null when none was. */
  readonly restarts?: StatusRestarts | null;
}

export interface StatusRestarts {
  readonly count: number;
  /** When the last one began that took over from such. RFC 3339, UTC. */
  readonly last_at: string;
}

export interface StatusVerified {
  readonly commit: string;
  /** Who signed it; null where a pod's flag let it pass, or it was taken as it was. */
  readonly by: string | null;
  /** Fingerprint of the key. */
  readonly key: string | null;
}

export interface StatusOperation {
  readonly phase: string;
  /** The ring's operation, shared by its replicas. */
  readonly ring_operation: string | null;
  readonly since: string;
}

export interface StatusHold {
  readonly version: string | null;
  readonly reason: string;
  readonly by: string;
  /** RFC 3339, UTC; absent from a hold that a version before made. */
  readonly since?: string;
}

export type RootState =
  | 'starting'
  | 'converged'
  | 'converging'
  | 'refused'
  | 'failed'
  | 'unreachable'
  | 'suspended'
  /** Converged but for versions that failed before. */
  | 'held'
  /** The application is not well, and going back would not help or did not. */
  | 'degraded';

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
