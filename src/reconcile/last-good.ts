import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { RinglockError } from '../errors.ts';
import { redactUrl } from '../redaction.ts';
import { readCurrentGeneration } from '../store/generation.ts';
import type { RootStatus } from '../store/status-file.ts';
import { findWrongModule } from '../store/verify-generation.ts';
import { anchorOf, readStatusIfAny } from './fetched-state.ts';
import type { Log } from './log.ts';
import type { ReconcileOptions } from './open-reconciler.ts';
import { servedFacts } from './status-keeper.ts';

/** The root is another process's, or was taken over: what serves is that one's to say. */
const notOurs: ReadonlySet<string> = new Set(['root-owned', 'root-lost']);

/**
 * For an init container whose root cannot be opened (read-only, full, damaged): the status with the
 * generation that serves all the same, each of its bytes digested; undefined when none does. Writes
 * nothing.
 */
export async function lastGoodStatus(
  options: Omit<ReconcileOptions, 'nextLook'>,
  failure: unknown,
  log: Log,
): Promise<RootStatus | undefined> {
  if (!(failure instanceof RinglockError) || failure.exitCode !== 3 || notOurs.has(failure.code)) {
    return undefined;
  }
  const root = resolve(options.workingDirectory, options.root);
  const generation = await readCurrentGeneration(root).catch(() => undefined);
  const ring = options.ring ?? options.environment['RING_NAME'];
  if (generation === undefined || generation.lock.ring !== ring) return undefined;
  const wrong = await findWrongModule(generation);
  if (wrong !== undefined) {
    log.error(`generation ${generation.number} does not serve either: ${wrong}`);
    return undefined;
  }
  const { code, message, hint } = failure;
  log.error(message, { code });
  if (hint !== undefined) log.warn(`what to do: ${hint}`);
  const before = await readStatusIfAny(root);
  return {
    ring: generation.lock.ring,
    replica: options.replica ?? hostname(),
    state: 'failed',
    repository: generation.repository ?? redactUrl(options.repositories[0] ?? ''),
    branch: options.branch,
    commit: before?.commit ?? null,
    converged_commit: anchorOf(before, options.branch) ?? generation.commit,
    last_error: {
      code,
      message,
      ...(hint !== undefined && { hint }),
      at: new Date().toISOString(),
    },
    observed_at: before?.observed_at ?? null,
    converged_at: before?.converged_at ?? null,
    outbox_pending: null,
    ringlock_version: options.version,
    ...servedFacts(generation),
  };
}
