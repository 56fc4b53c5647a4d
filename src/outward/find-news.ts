import type { AuditEvent } from '../audit/event.ts';
import type { RootStatus } from '../store/status-file.ts';
import type { News, NewsError, NewsOperation, Told } from './news.ts';
import { type EndedOperation, endedOperations } from './operations-of-events.ts';

/** What a module's hold was last set to, and when. */
export interface HoldRecord {
  readonly alias: string;
  /** RFC 3339; the same in all replicas. */
  readonly at: string;
  /** Null: it is held no more. */
  readonly hold: {
    readonly version: string | null;
    readonly reason: string;
    readonly by: string;
  } | null;
}

/** What is to be seen of a root now. */
export interface Seen {
  readonly status: RootStatus;
  /** Audit events of operations that ended since the last look, oldest first. */
  readonly events: readonly AuditEvent[];
  readonly holds: readonly HoldRecord[];
  readonly now: Date;
}

/** How long the environment has to fail before it is told: most failures go by themselves. */
const lastingMs = 60_000;

/**
 * What is new in what is seen, in the order in which it is to be told. Pure: the same for the same
 * arguments.
 *
 * @param told undefined at the first look of all, which takes the holds that are there as known
 */
export function findNews(
  told: Told | undefined,
  seen: Seen,
): { readonly told: Told; readonly news: readonly News[] } {
  const holds = Object.fromEntries(seen.holds.map(({ alias, at }) => [alias, at]));
  const before = told ?? { ...nothingTold, holds };
  const ended = endedOperations(seen.events);
  const done = ended.findLast(({ outcome }) => outcome === 'succeeded');
  const known = done === undefined ? before : withOperation(before, done);
  const state = findStateNews(known, seen);
  const news = [
    ...holdNews(before.holds, seen.holds),
    ...ended.filter(({ outcome }) => outcome === 'reverted').map(revertNews),
    ...state.news,
  ];
  return { told: { ...state.told, holds: { ...before.holds, ...holds } }, news };
}

const nothingTold: Told = {
  converged: null,
  converging: null,
  trouble: null,
  operation: null,
  operationCommit: null,
  holds: {},
};

function withOperation(told: Told, { operation, commit }: EndedOperation): Told {
  return { ...told, operation, operationCommit: commit };
}

function holdNews(known: Told['holds'], holds: readonly HoldRecord[]): News[] {
  return holds.flatMap(({ alias, at, hold }) => {
    // The end of a hold that was never known here is no news.
    if (known[alias] === at || (hold === null && known[alias] === undefined)) return [];
    const { version = null, reason = null, by = null } = hold ?? {};
    const event = hold === null ? ('unhold' as const) : ('hold' as const);
    return [
      { ...plain(event, `hold ${alias} ${at}`), hold: { module: alias, version, reason, by } },
    ];
  });
}

function revertNews({ operation, commit, reason }: EndedOperation): News {
  const key = `reverted ${operation.ring_operation ?? operation.id}`;
  return {
    ...plain('reverted', key, commit),
    operation,
    error: { code: 'reverted', message: reason },
  };
}

interface StateNews {
  readonly told: Told;
  readonly news: readonly News[];
}

function findStateNews(told: Told, seen: Seen): StateNews {
  const { status } = seen;
  switch (status.state) {
    case 'converging':
      return converging(told, status);
    case 'converged':
      return converged(told, status);
    case 'held':
    case 'degraded':
      return trouble(told, status, status.state, status.lock_digest);
    case 'refused':
      return trouble(told, status, 'refused', status.last_error?.code);
    case 'failed':
    case 'unreachable': {
      const since = Date.parse(status.last_error?.at ?? '');
      const lasts = seen.now.getTime() - since >= lastingMs;
      return lasts
        ? trouble(told, status, status.state, status.last_error?.code)
        : { told, news: [] };
    }
    default:
      return { told, news: [] };
  }
}

/** What is repaired at a commit that was told already is no deployment. */
function converging(told: Told, { commit }: RootStatus): StateNews {
  const isKnown =
    commit === null ||
    told.converging === commit ||
    told.trouble?.commit === commit ||
    told.converged?.startsWith(`converged ${commit} `) === true;
  if (isKnown) return { told, news: [] };
  const news = plain('converging', `converging ${commit}`, commit);
  return { told: { ...told, converging: commit }, news: [news] };
}

function converged(told: Told, { converged_commit: commit, lock_digest }: RootStatus): StateNews {
  const key = `converged ${commit} ${lock_digest}`;
  const operation = operationFor(told, commit);
  const after = { ...withoutOperation(told, commit), converged: key, trouble: null };
  const isNew = told.converged !== key;
  if (told.trouble?.commit === commit && (operation === null || !isNew)) {
    const { key: ends } = told.trouble;
    return { told: after, news: [{ ...plain('recovered', `recovered ${ends}`, commit), ends }] };
  }
  return { told: after, news: isNew ? [{ ...plain('converged', key, commit), operation }] : [] };
}

function trouble(
  told: Told,
  { commit, last_error: error }: RootStatus,
  event: 'held' | 'refused' | 'failed' | 'unreachable' | 'degraded',
  what: string | null | undefined,
): StateNews {
  const key = `${event} ${commit} ${what}`;
  if (told.trouble?.key === key) return { told, news: [] };
  const after = { ...withoutOperation(told, commit), trouble: { key, commit } };
  const news = {
    ...plain(event, key, commit),
    operation: operationFor(told, commit),
    error: error === null ? null : newsError(error),
  };
  return { told: after, news: [news] };
}

/** One of a later commit, whose state is not seen yet, is kept. */
function withoutOperation(told: Told, commit: string | null): Told {
  return told.operationCommit === commit
    ? { ...told, operation: null, operationCommit: null }
    : told;
}

function operationFor(told: Told, commit: string | null): NewsOperation | null {
  return told.operationCommit === commit ? told.operation : null;
}

function newsError({ code, message, hint }: NewsError): NewsError {
  return { code, message, ...(hint !== undefined && { hint }) };
}

function plain(event: News['event'], key: string, commit: string | null = null): News {
  return { event, key, ends: null, commit, operation: null, error: null, hold: null };
}
