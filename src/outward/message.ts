import { uuidv7 } from 'uuidv7';
import { redact, redactValues } from '../redaction.ts';
import type { RootStatus } from '../store/status-file.ts';
import type { News, NewsError, NewsEvent, NewsHold, NewsModule, NewsOperation } from './news.ts';

/** News as it is told, the same in every attempt. */
export interface Message {
  /** UUIDv7; receivers know a repetition by it. */
  readonly id: string;
  readonly event: NewsEvent;
  /** RFC 3339, UTC: when it was found. */
  readonly time: string;
  readonly key: string;
  readonly ends: string | null;
  readonly data: MessageData;
}

/** `data` of the webhook's payload; fields are only ever added. */
export interface MessageData {
  readonly ring: string;
  readonly replica: string;
  /** The repository's URL, credentials removed. */
  readonly repository: string;
  readonly branch: string;
  readonly commit: string | null;
  /** `Name <email>` of the commit's author. */
  readonly author: string | null;
  /** The commit's first line. */
  readonly subject: string | null;
  /** What the replica serves. */
  readonly converged_commit: string | null;
  readonly generation: number | null;
  readonly lock_digest: string | null;
  readonly operation: Omit<NewsOperation, 'modules'> | null;
  /** What the operation changed; at most 100 of `modules_total`. */
  readonly modules: readonly NewsModule[];
  readonly modules_total: number;
  readonly error: NewsError | null;
  readonly hold: NewsHold | null;
  readonly ringlock_version: string;
}

/** Of a commit, as far as it is known here. */
export interface CommitFacts {
  readonly author: string;
  readonly subject: string;
}

/** Payloads stay below the 20 kB that receivers are told to expect. */
const mostModules = 100;

/** News as a message, with what people and servers wrote redacted: it goes to the disk and to the outside. */
export function messageOf(
  { event, key, ends, commit, operation, error, hold }: News,
  status: RootStatus,
  facts: CommitFacts | undefined,
  now: Date,
): Message {
  const { modules = [], ...about } = operation ?? {};
  const data: MessageData = {
    ring: status.ring,
    replica: status.replica,
    repository: status.repository,
    branch: status.branch,
    commit,
    author: redactValues(facts?.author ?? null),
    subject: redactValues(facts?.subject ?? null),
    converged_commit: status.converged_commit,
    generation: status.generation,
    lock_digest: status.lock_digest,
    operation:
      operation === null
        ? null
        : { ...(about as Omit<NewsOperation, 'modules'>), by: redact(operation.by) },
    modules: modules.slice(0, mostModules),
    modules_total: modules.length,
    error: redactValues(error),
    hold: hold && { ...hold, reason: redactValues(hold.reason), by: redactValues(hold.by) },
    ringlock_version: status.ringlock_version,
  };
  return { id: uuidv7(), event, time: now.toISOString(), key, ends, data };
}
