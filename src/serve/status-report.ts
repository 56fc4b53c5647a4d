import { lstat } from 'node:fs/promises';
import { type Generation, readCurrentGeneration } from '../store/generation.ts';
import { currentPath } from '../store/layout.ts';
import type { ModuleHistory } from './module-history.ts';
import type { Observed } from './observed.ts';
import { whyNotReady } from './readiness.ts';

/** Of the answer's shape; raised when a field changes its meaning or goes. New fields may come. */
const apiVersion = 1;

/**
 * What `/api/status` answers, as docs/observability.md has it: all that this replica knows of its root,
 * with null for what it does not know. Times are RFC 3339, UTC.
 */
export async function statusReport(observed: Observed, history: ModuleHistory) {
  const { status, memory, tally, clock, root } = observed;
  const now = status();
  const notReady = await whyNotReady(observed);
  const generation = await readCurrentGeneration(root).catch(() => undefined);
  await history.refresh();
  const { dueInMs } = clock;
  return {
    api_version: apiVersion,
    ringlock_version: now.ringlock_version,
    started_at: new Date(tally.startedAt).toISOString(),
    ring: now.ring,
    replica: now.replica,
    repository: now.repository,
    branch: now.branch,
    state: now.state,
    ready: notReady === undefined,
    not_ready_reason: notReady ?? null,
    commit: now.commit,
    converged_commit: now.converged_commit,
    anchored: now.anchored ?? false,
    answered_by: now.answered_by ?? null,
    verified: now.verified ?? null,
    observed_at: now.observed_at,
    converged_at: now.converged_at,
    last_sync_at: tally.lastSync === undefined ? null : new Date(tally.lastSync).toISOString(),
    next_pass_at: dueInMs === undefined ? null : secondsFromNow(dueInMs),
    generation: generation === undefined ? null : await generationFacts(root, generation),
    modules: modulesOf(generation, history),
    drift: Object.fromEntries(tally.drift),
    operation: operationOf(observed),
    holds: now.holds ?? {},
    held_back: now.held ?? {},
    failed_sets: memory.failures.map(({ changes, reason, commit }) => ({
      changes,
      reason,
      commit,
    })),
    degraded: now.degraded ?? null,
    outbox_pending: now.outbox_pending,
    last_error: now.last_error,
  };
}

/** To the second: an answer that differs by milliseconds only would never be the one a client has. */
function secondsFromNow(ms: number): string {
  return new Date(Math.round((Date.now() + ms) / 1000) * 1000).toISOString();
}

async function generationFacts(
  root: string,
  { number, commit, lockDigest, createdAt }: Generation,
) {
  // The link is made right before it is renamed into place.
  const link = await lstat(currentPath(root)).catch(() => undefined);
  return {
    number,
    commit,
    lock_digest: lockDigest,
    built_at: createdAt,
    switched_at: link === undefined ? null : link.mtime.toISOString(),
  };
}

function modulesOf(generation: Generation | undefined, history: ModuleHistory) {
  const modules = [...(generation?.lock.modules ?? [])].map(([alias, entry]) => {
    const known = history.module(alias);
    const { since, commit, by } = known?.version === entry.version ? known : nothingKnown;
    const { version, sha256, directory } = entry;
    return [alias, { version, digest: sha256, directory, since, commit, by }] as const;
  });
  return Object.fromEntries(modules);
}

const nothingKnown = { since: null, commit: null, by: null };

function operationOf({ status, tally }: Observed) {
  const { operation } = status();
  if (tally.running === undefined) return null;
  const { id, kind, since } = tally.running;
  return {
    id,
    kind,
    since,
    phase: operation?.phase ?? null,
    phase_since: operation?.since ?? null,
    ring_operation: operation?.ring_operation ?? null,
  };
}
