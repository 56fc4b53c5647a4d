import { join } from 'node:path';
import { createSqliteMirror, isSqliteWhole, type SqliteMirror } from '../audit/sqlite-mirror.ts';
import { environmentFailed } from '../errors.ts';
import { type OutwardOptions, readReceivers } from '../outward/read-receivers.ts';
import { coalesced } from '../serve/coalesced.ts';
import type { ObservedServer } from '../serve/server.ts';
import { readWebhookSecrets } from '../serve/webhook-secrets.ts';
import type { Repair } from '../store/set-aside.ts';
import type { RootStatus } from '../store/status-file.ts';
import { giveMemoryBack } from './give-memory-back.ts';
import { lastGoodStatus } from './last-good.ts';
import type { Log } from './log.ts';
import { type OpenReconciler, openReconciler, type ReconcileOptions } from './open-reconciler.ts';
import { caFileOf } from './open-repository.ts';
import { watchRequests } from './operator-requests.ts';
import { PassClock } from './pass-clock.ts';
import { PassPace } from './pass-pace.ts';
import { handleSignals, outliveClosedOutput } from './process-signals.ts';
import { repairRoot } from './repair-root.ts';
import { listenForNews } from './ring/ring-news.ts';
import type { StatusKeeper } from './status-keeper.ts';
import { sturdyPass } from './sturdy-pass.ts';
import { type TellOutside, tellOutside } from './tell-outside.ts';
import { Trigger, watch } from './watch.ts';
import { watchedPass } from './watched-pass.ts';

export type ReconcileMode = 'once' | 'init' | 'watch';

export interface RunOptions
  extends Omit<ReconcileOptions, 'nextLook'>,
    Omit<OutwardOptions, 'repository'> {
  readonly mode: ReconcileMode;
  readonly intervalMs: number;
  /** Between failed passes as long as nothing serves. */
  readonly initIntervalMs: number;
  /** Passes after which one that never served anything is given up (`--init`: 1; `--watch`: never). */
  readonly maxFailures: number | undefined;
  /** Whether a connection is kept that hears what other replicas announce. */
  readonly listenToDatabase: boolean;
  /** Repairs the root before it is opened, and is told what was done; undefined repairs nothing. */
  readonly onRepaired: ((repairs: readonly Repair[]) => void) | undefined;
  /** Where the health server listens; undefined starts none. */
  readonly listen: string | undefined;
}

/** Webhooks that come closer together make one pass. */
const webhooksActEveryMs = 1_000;

/** How long the end of a process waits for Postgres and the outside to take what is left. */
const lastDeliveryMs = 5_000;

/**
 * Runs a reconciler in one of its modes until it is done, or a signal ends it: SIGTERM and SIGINT
 * finish or drop the operation under way, SIGHUP makes a pass now.
 *
 * @returns the last status; its exit code is exitCodeOf()
 */
export async function runReconciler(options: RunOptions, log: Log): Promise<RootStatus> {
  outliveClosedOutput();
  const ending = new AbortController();
  const trigger = new Trigger();
  const { mode, intervalMs } = options;
  const nextLook =
    mode === 'watch' ? (signal: AbortSignal) => trigger.look(intervalMs, signal) : undefined;
  const receivers = await readReceivers({ ...options, repository: options.repositories[0] ?? '' });
  let opened: OpenReconciler;
  try {
    if (options.onRepaired !== undefined) options.onRepaired(await repairRoot(options, log));
    opened = await openReconciler({ ...options, nextLook }, log);
  } catch (error) {
    const serving = mode === 'init' ? await lastGoodStatus(options, error, log) : undefined;
    if (serving === undefined) throw error;
    return serving;
  }
  const removeHandlers = handleSignals(ending, trigger, log);
  const clock = new PassClock(undefined, options.timeoutMs);
  let server: ObservedServer | undefined;
  let outside: TellOutside | undefined;
  try {
    const { status } = opened;
    sayStart(opened, options, log);
    outside = await tellOutside(receivers, opened, log, {
      caFile: caFileOf(options),
      environment: options.environment,
    });
    server = await listen(opened, options, clock, trigger, log);
    const reporter = new Reporter(opened, log);
    if (!(await isSqliteWhole(join(opened.root.path, 'audit')))) reporter.refreshSqlite();
    const passOnce = watchedPass(sturdyPass(opened, log), { ...opened, clock }, log);
    let collectedFor: number | null = null;
    const pass = async (signal: AbortSignal) => {
      status.passBegins();
      await passOnce(signal);
      reporter.report();
      const isFull = status.current.last_error?.code === 'disk-full';
      const isNew = status.current.generation !== collectedFor;
      if (isFull || isNew) await collectGarbage(opened, log);
      if (isNew && mode === 'watch') giveMemoryBack();
      collectedFor = status.current.generation;
    };
    const listening = listenForWishes(opened, options, trigger, log, ending.signal);
    const pace = new PassPace(options);
    const next = async () => {
      const ms = await nextPass(pace, status, log);
      if (ms !== undefined) clock.ended(ms);
      return ms;
    };
    await watch(pass, next, () => pace.wake(), trigger, ending.signal);
    ending.abort();
    await listening;
    await Promise.all([reporter.finish(), outside?.finish(lastDeliveryMs)]);
    await opened.outbox.leave(status.current.ring, status.current.replica);
    if (mode === 'watch') refuseToGoOn(pace, status.current);
    return status.current;
  } finally {
    removeHandlers();
    await server?.close();
    await outside?.close();
    await opened.close();
  }
}

/**
 * 0 converged or suspended, 1 refused, 3 the environment failed. An init container is done as soon as
 * anything serves; a watch that was told to end ended well.
 */
export function exitCodeOf(mode: ReconcileMode, { state, generation }: RootStatus): 0 | 1 | 3 {
  if (mode === 'watch' || (mode === 'init' && generation !== null)) return 0;
  if (mode !== 'init' && (state === 'converged' || state === 'suspended')) return 0;
  return state === 'refused' || state === 'held' ? 1 : 3;
}

/** @returns how long to wait for the next pass, in ms */
async function nextPass(
  pace: PassPace,
  status: StatusKeeper,
  log: Log,
): Promise<number | undefined> {
  const delay = pace.after(status.current, status.retryAfterMs);
  if (delay === undefined || !pace.isFailing) return delay;
  log.info('tries again', { in_seconds: Math.round(delay / 100) / 10 });
  await status.triesAgain(new Date(Date.now() + delay));
  return delay;
}

/** @throws RinglockError `never-served` when it was given up, so that a crash loop is seen */
function refuseToGoOn({ gaveUpAfter }: PassPace, { last_error }: RootStatus): void {
  if (gaveUpAfter === undefined) return;
  const { message = 'no reason is known', hint } = last_error ?? {};
  throw environmentFailed(
    'never-served',
    `nothing serves after ${gaveUpAfter} attempts, given up as --max-failures says: ${message}`,
    { ...(hint !== undefined && { hint }) },
  );
}

/** What a log begins with: whose it is, and what it follows. */
function sayStart({ status, root }: OpenReconciler, options: RunOptions, log: Log): void {
  const { repository, branch, generation, ringlock_version } = status.current;
  const { mode, intervalMs } = options;
  const every = mode === 'watch' ? { interval_s: intervalMs / 1000 } : {};
  const what = { version: ringlock_version, mode, ...every, repository, branch };
  log.info('ringlock reconcile', { ...what, root: root.path, generation });
}

/** Loaded only where somebody may ask. */
async function listen(
  { status, tally, root, membership }: OpenReconciler,
  { listen: address, environment }: RunOptions,
  clock: PassClock,
  trigger: Trigger,
  log: Log,
): Promise<ObservedServer | undefined> {
  if (address === undefined) return undefined;
  const { serveObserved } = await import('../serve/server.ts');
  const { memory } = membership;
  const observed = { status: () => status.current, memory, tally, clock, root: root.path };
  const look = coalesced(() => {
    trigger.fire();
    // The others are told by the pass that finds a new commit; this one may have found it before.
    void membership.announce();
  }, webhooksActEveryMs);
  const server = await serveObserved(address, observed, {
    secrets: () => readWebhookSecrets(environment),
    branch: status.current.branch,
    look,
    answers: tally.webhooks,
    log,
  });
  log.info('listening', { url: server.url });
  return server;
}

/** Hears a person on this pod and, where there is a database, the ring's other replicas. */
async function listenForWishes(
  { reconciler, root, databaseUrl }: OpenReconciler,
  { mode, listenToDatabase }: RunOptions,
  trigger: Trigger,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const onRequest = () => {
    reconciler.interrupt('a person asked for something', true);
    trigger.fire();
  };
  const stopWatching = await watchRequests(root.path, onRequest);
  signal.addEventListener('abort', stopWatching, { once: true });
  if (mode !== 'watch' || !listenToDatabase) return;
  const onNews = () => {
    reconciler.heardNews();
    trigger.fire();
  };
  await listenForNews(databaseUrl, reconciler.ring, onNews, log, signal);
}

/** After the report: what an operation left over is nobody's reason to wait. */
async function collectGarbage({ root }: OpenReconciler, log: Log): Promise<void> {
  try {
    await root.collectGarbage();
  } catch (error) {
    log.warn(`old generations were not removed: ${error instanceof Error ? error.message : error}`);
  }
}

/** Reports after a pass, to Postgres and the SQLite file: one at a time, never in a pass's way. */
class Reporter {
  readonly #opened: OpenReconciler;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #again = false;
  #lastError: string | undefined;
  readonly #mirror: SqliteMirror;
  /** Number of the last event that the file has or is getting. */
  #mirrored: number | undefined;

  constructor(opened: OpenReconciler, log: Log) {
    this.#opened = opened;
    this.#log = log;
    this.#mirror = createSqliteMirror(join(opened.root.path, 'audit'), (message) => {
      log.warn(`audit.sqlite was not written: ${message}`);
    });
    this.#mirror.catchUp();
    this.#mirrored = opened.audit.sequence;
  }

  /** Starts a report, or has the one under way followed by another. */
  report(): void {
    const { sequence } = this.#opened.audit;
    if (sequence !== this.#mirrored) this.#mirror.refresh();
    this.#mirrored = sequence;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#reportOnce().finally(() => {
      this.#running = undefined;
      if (this.#again) {
        this.#again = false;
        this.report();
      }
    });
  }

  /** Has the file written anew with the next report. */
  refreshSqlite(): void {
    this.#mirrored = undefined;
  }

  /** Waits for what is under way, as long as the end of a process may. */
  async finish(): Promise<void> {
    await this.#mirror.idle();
    const until = Date.now() + lastDeliveryMs;
    while (this.#running !== undefined && Date.now() < until) {
      const rest = new Promise((resolve) => setTimeout(resolve, until - Date.now()).unref());
      await Promise.race([this.#running, rest]);
    }
  }

  async #reportOnce(): Promise<void> {
    const { outbox, status, databaseUrl } = this.#opened;
    try {
      const { pending, error } = await outbox.deliver();
      if (error === null) await outbox.reportStatus(status.current);
      this.#sayOnce(error?.message);
      await status.outboxPending((await databaseUrl()) === undefined ? null : pending);
    } catch (error) {
      this.#sayOnce(error instanceof Error ? error.message : String(error));
    }
  }

  #sayOnce(message: string | undefined): void {
    if (message !== undefined && message !== this.#lastError) {
      this.#log.warn(`audit delivery waits: ${message}`);
    }
    this.#lastError = message;
  }
}
