/** What the outside is told of; the names are those of the payload's `type`. */
export type NewsEvent =
  /** An operation for a commit began; told to commit statuses only. */
  | 'converging'
  /** The ring serves what a commit's lock says. */
  | 'converged'
  /** The same, but for versions that failed before. */
  | 'held'
  | 'refused'
  /** The environment has failed for a while: the disk, a database. */
  | 'failed'
  /** The repository has been away for a while. */
  | 'unreachable'
  | 'degraded'
  /** What of these five was told last is over, and nothing had to change. */
  | 'recovered'
  /** An operation was taken back after its switch. */
  | 'reverted'
  /** A person keeps a module at a version, or keeps it no more. */
  | 'hold'
  | 'unhold';

/** Something that the outside has not been told yet. */
export interface News {
  readonly event: NewsEvent;
  /** The same in every replica of the ring that finds it: of those, one tells. */
  readonly key: string;
  /** The key of what is over; only the replica that told of it tells that it is. */
  readonly ends: string | null;
  readonly commit: string | null;
  readonly operation: NewsOperation | null;
  readonly error: NewsError | null;
  readonly hold: NewsHold | null;
}

/** One operation; names are those of the payload. */
export interface NewsOperation {
  /** UUIDv7, as in the audit. */
  readonly id: string;
  /** UUIDv7 of the ring's operation, the same in all replicas; null for a replica by itself. */
  readonly ring_operation: string | null;
  /** `Name <email>` of the author of the lock commit, or a person's login. */
  readonly by: string;
  readonly lock_commit: string | null;
  /** From its plan to its end, waiting for the ring and the health gate included. */
  readonly duration_ms: number;
  readonly modules: readonly NewsModule[];
}

export interface NewsModule {
  readonly module: string;
  readonly action: string;
  readonly from: string | null;
  readonly to: string | null;
}

export interface NewsError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export interface NewsHold {
  readonly module: string;
  /** Null when the module is kept out, or no more held. */
  readonly version: string | null;
  readonly reason: string | null;
  readonly by: string | null;
}

/** What was told of a root so far; kept, so that a restart tells nothing again. */
export interface Told {
  /** Key of the last `converged`. */
  readonly converged: string | null;
  /** The commit of the last `converging`. */
  readonly converging: string | null;
  /** What of held, refused, failed, unreachable and degraded was told last and is not over. */
  readonly trouble: { readonly key: string; readonly commit: string | null } | null;
  /** The operation that succeeded last and whose state was not told yet. */
  readonly operation: NewsOperation | null;
  /** The commit of that operation. */
  readonly operationCommit: string | null;
  /** Alias → time of what was last said of its hold. */
  readonly holds: Readonly<Record<string, string>>;
}
