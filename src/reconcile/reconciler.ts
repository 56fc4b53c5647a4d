import { uuidv7 } from 'uuidv7';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Actor } from '../audit/event.ts';
import type { Outbox } from '../audit/outbox.ts';
import { environmentFailed, RinglockError, refused } from '../errors.ts';
import { isAncestor } from '../git/ancestry.ts';
import { fetchCommitted } from '../git/committed-files.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Commit } from '../git/object-store.ts';
import type { Remote } from '../git/remote.ts';
import { type InstalledModule, type Plan, plan } from '../plan/plan.ts';
import { type Lock, samePin } from '../repo/lock.ts';
import { defaultSettings, type Settings } from '../repo/settings.ts';
import type { ModuleSource } from '../source/module-source.ts';
import { generationDrift } from '../store/drift.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import type { RootStatus } from '../store/status-file.ts';
import { type CommittedRing, readCommittedRing } from './committed-ring.ts';
import { executePlan } from './execute-plan.ts';
import { findLockCommit } from './lock-commit.ts';
import type { Log } from './log.ts';
import { readGraph } from './module-graph.ts';
import { type OperationFacts, operationEvent } from './operation-events.ts';
import type { StatusKeeper } from './status-keeper.ts';

export interface ReconcilerSettings {
  readonly ring: string;
  readonly replica: string;
  readonly branch: string;
  /** Goes to a commit that does not descend from the last one. */
  readonly allowRewind: boolean;
  /** The platform this image really is; undefined takes the lock's word. */
  readonly platform: string | undefined;
  /** How often every byte on disk is compared with its digest. */
  readonly contentCheckMs: number;
}

/** What a reconciler works with; opened and closed by its owner. */
export interface ReconcilerParts {
  readonly root: Root;
  readonly database: ObjectDatabase;
  readonly remote: Remote;
  /** @param have trees that are replaced: a new version need not bring again what it shares with them */
  readonly sourcesFor: (settings: Settings, have: readonly string[]) => readonly ModuleSource[];
  readonly audit: AuditLog;
  readonly outbox: Outbox;
  readonly status: StatusKeeper;
  readonly log: Log;
  readonly now: () => Date;
}

/** Alias → what differs on disk, in words. */
type Drift = ReadonlyMap<string, string>;

/** A commit whose lock is to be made true, and who is behind it. */
interface Target {
  readonly commit: Commit;
  readonly committed: CommittedRing;
  readonly actor: Actor;
  readonly subject: string;
}

/**
 * One ring's reconciler on one root: compares the committed lock with the disk and makes them match.
 * The steps of a pass are the methods below, in the order in which they happen.
 */
export class Reconciler {
  readonly #settings: ReconcilerSettings;
  readonly #parts: ReconcilerParts;
  /** The tip that was last found converged, in this process: an unchanged branch needs no more. */
  #convergedTip: string | undefined;
  #lastContentCheck = 0;

  constructor(settings: ReconcilerSettings, parts: ReconcilerParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /**
   * One pass: observe → fetch → verify → plan → execute → report. What the world does wrong ends in
   * the status that is returned, not in an exception; the last good generation stays.
   */
  async reconcile(signal: AbortSignal): Promise<RootStatus> {
    const { status, log } = this.#parts;
    // The disk is looked at while the server answers.
    const drift = this.#findDrift();
    drift.catch(() => {}); // whoever awaits it reports it
    try {
      await this.#reconcileCommit(drift, signal);
    } catch (error) {
      if (signal.aborted) return status.current;
      const failure = asRinglockError(error);
      log[failure.exitCode === 3 ? 'error' : 'warn'](failure.message, { code: failure.code });
      await this.#recordRefusal(failure);
      await status.fail(failure);
      await this.#repairWithoutCommit(drift, signal);
    }
    return status.current;
  }

  async #reconcileCommit(drift: Promise<Drift>, signal: AbortSignal): Promise<void> {
    const { status, root } = this.#parts;
    const tip = await this.#observe();
    if (tip === this.#convergedTip && (await drift).size === 0) {
      await status.unchanged(tip);
      return;
    }
    const target = await this.#fetch(tip);
    if (target.committed.ring.suspended !== undefined) {
      await status.suspended(tip, target.committed.ring.suspended);
      return;
    }
    const decided = await this.#plan(target, await drift);
    await this.#execute(decided, signal);
    await this.#parts.database.writeRef(this.#convergedRef(), tip);
    this.#convergedTip = tip;
    await status.converged(tip, await root.current());
  }

  /** The branch's tip: one ls-refs. */
  async #observe(): Promise<string> {
    const { remote, status, now } = this.#parts;
    const tip = await remote.resolveBranch(this.#settings.branch);
    status.observed(tip, now());
    return tip;
  }

  /** Links at every tick, every byte now and then. */
  async #findDrift(): Promise<Drift> {
    const { root, now, log } = this.#parts;
    // A clock that jumped back must not put the next check off for as long.
    const elapsed = Math.abs(now().getTime() - this.#lastContentCheck);
    const due = elapsed >= this.#settings.contentCheckMs;
    const drift = await root.findDrift(due ? 'content' : 'links');
    if (due) this.#lastContentCheck = now().getTime();
    for (const [alias, what] of drift) log.warn(`${alias} drifted: ${what}`);
    return drift;
  }

  /** Fetches the tip and what leads to it, checks descent, and reads the ring's files. */
  async #fetch(tip: string): Promise<Target> {
    const { remote, database } = this.#parts;
    const last = await this.#lastConverged();
    if (tip !== last || !(await database.has(tip))) await remote.fetchCommits(tip, last);
    await this.#refuseRewind(last, tip);
    const platform = await fetchCommitted(remote, database, tip, last);
    const { commit } = platform;
    const committed = await readCommittedRing(platform, this.#settings.ring);
    const deployed = await findLockCommit(database, commit, this.#settings.ring, async (oids) => {
      await remote.fetchTrees(oids, { shallow: true });
    });
    const { name, email } = deployed.author;
    return {
      commit,
      committed,
      actor: { name: `${name} <${email}>`, commit: deployed.oid },
      subject: deployed.message.split('\n', 1)[0] ?? '',
    };
  }

  async #lastConverged(): Promise<string | undefined> {
    const { database, root } = this.#parts;
    return (
      (await database.readRef(this.#convergedRef())) ?? (await root.current())?.commit ?? undefined
    );
  }

  #convergedRef(): string {
    return `refs/ringlock/converged/${this.#settings.branch}`;
  }

  /** Invariant 6: never to a commit that does not descend from the last one, unless told on the pod. */
  async #refuseRewind(last: string | undefined, tip: string): Promise<void> {
    const { database, log } = this.#parts;
    if (last === undefined || last === tip || (await isAncestor(database, last, tip))) return;
    if (this.#settings.allowRewind) {
      log.warn('the branch was rewritten; following it, as --allow-rewind says', { last, tip });
      return;
    }
    throw refused(
      'branch-rewritten',
      `${this.#settings.branch} is at ${tip}, which does not descend from ${last}, the commit this root is at`,
      {
        hint: 'The branch was rewritten, or the server lags. To follow it, start the reconciler with --allow-rewind.',
        details: { last, tip },
      },
    );
  }

  async #plan(
    { commit, committed, actor, subject }: Target,
    drift: Drift,
  ): Promise<PlannedOperation> {
    const { lock, settings } = committed;
    await this.#refuseOtherBytes(lock);
    await this.#prefetch(lock, await this.#sources(lock, settings));
    const decided = await this.#planFor(lock, settings, drift);
    const rebuild = drift.get(generationDrift);
    return { ...decided, commit: commit.oid, actor, subject, rebuild };
  }

  async #planFor(
    lock: Lock,
    settings: Settings,
    drift: ReadonlyMap<string, string>,
  ): Promise<{ plan: Plan; sources: readonly ModuleSource[] }> {
    const { root, database } = this.#parts;
    const current = await root.current();
    const decided = plan({
      lock,
      installed: installedModules(current, drift),
      platform: this.#settings.platform ?? lock.platform,
      graph: await readGraph(lock, root, database),
      installedGraph:
        current === undefined ? new Map() : await readGraph(current.lock, root, database),
      policy: settings.policy,
    });
    return { plan: decided, sources: await this.#sources(lock, settings) };
  }

  /** Only what a changed module had before is announced: each tree is walked to see that it is whole. */
  async #sources(lock: Lock, settings: Settings): Promise<readonly ModuleSource[]> {
    const current = await this.#parts.root.current();
    const replaced = [...(current?.lock.modules ?? [])].filter(([alias, installed]) => {
      const wanted = lock.modules.get(alias);
      return wanted !== undefined && !samePin(wanted, installed);
    });
    const have = replaced.flatMap(([, { tree }]) => tree ?? []);
    return this.#parts.sourcesFor(settings, have);
  }

  /** What the store lacks is fetched in as few requests as the sources can. */
  async #prefetch(lock: Lock, sources: readonly ModuleSource[]): Promise<void> {
    const { root } = this.#parts;
    const missing = [];
    for (const [alias, entry] of lock.modules) {
      const pin = { alias, version: entry.version, sha256: entry.sha256 };
      if (!(await root.hasVersion(pin))) missing.push({ alias, entry });
    }
    if (missing.length === 0) return;
    for (const source of sources) await source.prefetch?.(missing);
  }

  /** Invariant 5: the bytes of (alias, version) never change. */
  async #refuseOtherBytes(lock: Lock): Promise<void> {
    for (const generation of await this.#parts.root.generations()) {
      for (const [alias, known] of generation.lock.modules) {
        const entry = lock.modules.get(alias);
        if (entry === undefined || entry.version !== known.version) continue;
        if (entry.sha256 === known.sha256) continue;
        throw refused(
          'released-bytes-changed',
          `the lock gives ${alias} ${entry.version} the digest ${entry.sha256}, but this ring ran that version with ${known.sha256}`,
          {
            hint: `The bytes of a released version never change: release the next version of ${alias}.`,
          },
        );
      }
    }
  }

  async #execute(operation: PlannedOperation, signal: AbortSignal): Promise<void> {
    const { root, audit, log, status, remote, now } = this.#parts;
    const { steps } = operation.plan;
    if (steps.length === 0 && operation.rebuild === undefined) return;
    const startedAt = now();
    const facts = this.#facts(operation.actor);
    await status.converging();
    const generation = await executePlan(operation.plan, {
      root,
      audit,
      sources: operation.sources,
      facts,
      commit: operation.commit,
      repository: remote.url,
      branch: this.#settings.branch,
      startedAt,
      now,
      signal,
      detail: {
        ...(operation.subject !== '' && { subject: operation.subject }),
        ...(operation.rebuild !== undefined && { reason: operation.rebuild }),
      },
    });
    for (const { action, alias, from, to } of steps) {
      log.info(`${action} ${alias}`, { from: from?.version, to: to?.version });
    }
    log.info('converged', {
      generation: generation.number,
      commit: operation.commit?.slice(0, 12),
      by: operation.actor.name,
      ms: now().getTime() - startedAt.getTime(),
    });
  }

  #facts(actor: Actor): OperationFacts {
    const { ring, replica } = this.#settings;
    return { operationId: uuidv7(), ring, replica, actor };
  }

  /** With git away or a lock refused, drift is still repaired, from the store and what is fetched. */
  async #repairWithoutCommit(found: Promise<Drift>, signal: AbortSignal): Promise<void> {
    const { root, log, status } = this.#parts;
    try {
      const current = await root.current();
      if (current === undefined) return;
      const drift = await found;
      if (drift.size === 0) return;
      const decided = await this.#planFor(current.lock, defaultSettings, drift);
      const actor = { name: 'ringlock', commit: current.commit };
      const rebuild = drift.get(generationDrift);
      const operation = { ...decided, commit: current.commit, actor, subject: '', rebuild };
      await this.#execute(operation, signal);
      await status.repaired(await root.current());
    } catch (error) {
      if (!signal.aborted) log.error(`repair failed: ${asRinglockError(error).message}`);
    }
  }

  /** A refusal is an event of its own, once for each commit and reason. */
  async #recordRefusal(failure: RinglockError): Promise<void> {
    const { audit, status } = this.#parts;
    if (failure.exitCode === 3 || status.isRecorded(failure)) return;
    const { commit } = status.current;
    const facts = this.#facts({ name: 'ringlock', commit });
    await audit.append([
      operationEvent(facts, 'refused', { code: failure.code, message: failure.message, commit }),
    ]);
    status.recorded(failure);
  }
}

interface PlannedOperation {
  readonly plan: Plan;
  readonly sources: readonly ModuleSource[];
  readonly commit: string | null;
  readonly actor: Actor;
  /** The commit's first line, or nothing. */
  readonly subject: string;
  /** Why the generation has to be built again although no module has to change. */
  readonly rebuild: string | undefined;
}

function installedModules(
  current: Generation | undefined,
  drift: ReadonlyMap<string, string>,
): Map<string, InstalledModule> {
  return new Map(
    [...(current?.lock.modules ?? [])].map(([alias, entry]) => {
      const found = drift.get(alias);
      const installed = {
        version: entry.version,
        sha256: entry.sha256,
        directory: entry.directory ?? alias,
        ...(found !== undefined && { drift: found }),
      };
      return [alias, installed];
    }),
  );
}

function asRinglockError(error: unknown): RinglockError {
  if (error instanceof RinglockError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return environmentFailed('unexpected', message, { cause: error });
}
