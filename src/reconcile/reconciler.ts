import { uuidv7 } from 'uuidv7';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Actor } from '../audit/event.ts';
import type { Outbox } from '../audit/outbox.ts';
import { environmentFailed, RinglockError, refused } from '../errors.ts';
import { isAncestor } from '../git/ancestry.ts';
import { fetchCommitted, readCommitted } from '../git/committed-files.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Commit } from '../git/object-store.ts';
import type { Remote } from '../git/remote.ts';
import { tenantsFile } from '../repo/names.ts';
import { parseRingFile } from '../repo/ring.ts';
import { defaultSettings, type Settings } from '../repo/settings.ts';
import type { ModuleSource } from '../source/module-source.ts';
import { generationDrift } from '../store/drift.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import type { RootStatus } from '../store/status-file.ts';
import { Application, type ApplicationOptions } from './application.ts';
import { type CommittedRing, readCommittedRing } from './committed-ring.ts';
import { blockedBy, type Decision, decide } from './decide.ts';
import { followTenants } from './follow-tenants.ts';
import { findLockCommit } from './lock-commit.ts';
import type { Log } from './log.ts';
import { commitChange } from './make-visible.ts';
import { readLockCode } from './module-code.ts';
import { Operation, type OperationParts, type PlannedOperation } from './operation.ts';
import {
  type OperationFacts,
  operationEvent,
  operatorEvent,
  tenantEvent,
} from './operation-events.ts';
import { readRequests } from './operator-requests.ts';
import type { RingMembership } from './ring/ring-membership.ts';
import { OperationStopped } from './ring/ring-operation.ts';
import { schemaWork } from './schema-work.ts';
import type { StatusKeeper } from './status-keeper.ts';
import { takeRequest } from './take-request.ts';

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
  /** Leaves the schema of the application's database alone. */
  readonly skipMigrations: boolean;
  readonly application: ApplicationOptions;
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
  readonly membership: RingMembership;
  /** The application's database for migrations; undefined where the pod has none. */
  readonly migrationsUrl: () => Promise<string | undefined>;
  /** Until the branch should be looked at again; undefined when one pass is all there is. */
  readonly nextLook: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly log: Log;
  readonly now: () => Date;
}

/** Alias → what differs on disk, in words. */
type Drift = ReadonlyMap<string, string>;

/** A commit whose lock is to be made true, and who is behind it. */
interface Target {
  readonly commit: string | null;
  readonly committed: CommittedRing;
  /** The text of tenants.yaml, where it is known. */
  readonly tenants: string | undefined;
  readonly actor: Actor;
  readonly subject: string;
  /** Whether a person asked on this pod. */
  readonly isAsked: boolean;
  /** Whether it is what was known before, with git away or its tip refused. */
  readonly isKnown: boolean;
}

/** Passes that follow each other at once: a stopped operation, a revert and what it leaves to do. */
const passesAtOnce = 8;

/**
 * One ring's reconciler on one root: compares the committed lock with the disk and makes them match.
 * The steps of a pass are the methods below, in the order in which they happen.
 */
export class Reconciler {
  readonly #settings: ReconcilerSettings;
  readonly #parts: ReconcilerParts;
  /** The tip that was last found converged, in this process: an unchanged branch needs no more. */
  #convergedTip: string | undefined;
  /** What was learned since then (a hold, a retry, an operation left open) needs a whole pass. */
  #isDirty = true;
  /** A person asked for something on this pod since the last pass that was done. */
  #isAsked = false;
  #lastContentCheck = 0;
  /** Ends the operation under way, so that everybody plans again. */
  #stop: AbortController | undefined;
  /** The last one that was begun. */
  #operation: PlannedOperation | undefined;

  constructor(settings: ReconcilerSettings, parts: ReconcilerParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  get ring(): string {
    return this.#settings.ring;
  }

  /** Another replica has said that there is something new. */
  heardNews(): void {
    this.#isDirty = true;
  }

  /** Makes the next pass a whole one, and stops an operation that waits or is being judged. */
  interrupt(reason: string, isAsked = false): void {
    this.#isDirty = true;
    this.#isAsked ||= isAsked;
    this.#stop?.abort(new OperationStopped(reason));
  }

  /**
   * One pass: observe → fetch → verify → plan → execute → report. What the world does wrong ends in
   * the status that is returned, not in an exception; the last good generation stays.
   */
  async reconcile(signal: AbortSignal): Promise<RootStatus> {
    for (let pass = 0; pass < passesAtOnce && !signal.aborted; pass++) {
      if ((await this.#pass(signal)) === 'done') break;
    }
    return this.#parts.status.current;
  }

  async #pass(signal: AbortSignal): Promise<'done' | 'again'> {
    // The disk is looked at while the server answers.
    const drift = this.#findDrift();
    drift.catch(() => {}); // whoever awaits it reports it
    try {
      await this.#takeRequests();
      return await this.#reconcileCommit(drift, signal);
    } catch (error) {
      if (signal.aborted) return 'done';
      if (error instanceof OperationStopped) {
        this.#isDirty = true;
        this.#parts.log.info(`stopped: ${error.message}`);
        return 'again';
      }
      return this.#failed(asRinglockError(error), drift, signal);
    }
  }

  /** What people asked on this pod since the last pass. */
  async #takeRequests(): Promise<void> {
    const { root, membership, audit, log, status } = this.#parts;
    const { ring, replica } = this.#settings;
    const who = { ring, replica, changes: this.#operation?.target?.changes };
    const requests = await readRequests(root.path);
    for (const { request, done } of requests) {
      const taken = await takeRequest(request, membership, who);
      await audit.append([operatorEvent(this.#facts({ name: request.by, commit: null }), taken)]);
      log.info(`${request.by}: ${taken.message}`);
      await done();
      this.#isDirty = true;
      this.#isAsked = true;
      status.remembers(membership.memory, this.#settings.branch, new Map());
    }
    if (requests.length === 0) return;
    await membership.sync();
    await membership.announce();
  }

  async #failed(
    failure: RinglockError,
    drift: Promise<Drift>,
    signal: AbortSignal,
  ): Promise<'done' | 'again'> {
    const { status, log } = this.#parts;
    this.#isDirty = true;
    log[failure.exitCode === 3 ? 'error' : 'warn'](failure.message, { code: failure.code });
    if (failure.code === 'turned-back') {
      await this.#parts.membership.sync();
      return 'again';
    }
    await this.#recordRefusal(failure);
    await status.fail(failure);
    if (failure.code !== 'degraded') await this.#goOnWithoutCommit(drift, signal);
    return 'done';
  }

  async #reconcileCommit(drift: Promise<Drift>, signal: AbortSignal): Promise<'done' | 'again'> {
    const { status, root, membership, database } = this.#parts;
    const tip = await this.#observe();
    if (tip === this.#convergedTip && !this.#isDirty && (await drift).size === 0) {
      await status.unchanged(tip);
      return 'done';
    }
    if (tip !== this.#convergedTip) void membership.announce();
    await membership.sync();
    const target = await this.#fetch(tip);
    if (target.committed.ring.suspended !== undefined) {
      await status.suspended(tip, target.committed.ring.suspended);
      return 'done';
    }
    this.#isDirty = false;
    const decision = await this.#makeTrue(target, await drift, signal);
    if (decision.isFirstStep) {
      this.#isDirty = true;
      return 'again';
    }
    if (decision.desired.blocked !== undefined) throw blockedBy(decision.desired.blocked);
    await database.writeRef(this.#convergedRef(), tip);
    await membership.memory.moveAnchor(this.#settings.branch, tip);
    this.#convergedTip = tip;
    this.#isAsked = false;
    await status.converged(tip, await root.current());
    await this.#followTenants(target, signal);
    await membership.sync();
    return 'done';
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
    const due = now().getTime() - this.#lastContentCheck >= this.#settings.contentCheckMs;
    const drift = await root.findDrift(due ? 'content' : 'links');
    if (due) this.#lastContentCheck = now().getTime();
    for (const [alias, what] of drift) log.warn(`${alias} drifted: ${what}`);
    return drift;
  }

  /** Fetches the tip and what leads to it, checks descent, and reads the ring's files. */
  async #fetch(tip: string): Promise<Target> {
    const { remote, database, membership } = this.#parts;
    const last = await this.#lastConverged();
    const anchor = membership.memory.anchor(this.#settings.branch);
    const have = last ?? anchor;
    if (tip !== last || !(await database.has(tip))) await this.#fetchCommits(tip, have);
    await this.#refuseRewind(last, tip, 'this root');
    if (tip !== last) await this.#refuseRewind(anchor, tip, 'this ring');
    const platform = await fetchCommitted(remote, database, tip, last);
    const { ring } = this.#settings;
    const deployed = await findLockCommit(database, platform.commit, ring, async (oids) => {
      await remote.fetchTrees(oids, { shallow: true });
    });
    return this.#target(platform, tip, deployed);
  }

  /** A fresh disk announces the ring's commit without having it: of an older tip nothing is then sent. */
  async #fetchCommits(tip: string, have: string | undefined): Promise<void> {
    const { remote, database } = this.#parts;
    try {
      await remote.fetchCommits(tip, have);
    } catch (error) {
      const isLacking = error instanceof RinglockError && error.code === 'pack-lacks-object';
      if (!isLacking || have === undefined || (await database.has(have))) throw error;
      await remote.fetchCommits(tip, undefined);
    }
  }

  async #target(
    platform: Awaited<ReturnType<typeof readCommitted>>,
    commit: string,
    deployed: Commit,
  ): Promise<Target> {
    const { name, email } = deployed.author;
    return {
      commit,
      committed: await readCommittedRing(platform, this.#settings.ring),
      tenants: await platform.readText(tenantsFile),
      actor: { name: `${name} <${email}>`, commit: deployed.oid },
      subject: deployed.message.split('\n', 1)[0] ?? '',
      isAsked: this.#isAsked,
      isKnown: false,
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
  async #refuseRewind(last: string | undefined, tip: string, what: string): Promise<void> {
    const { database, log } = this.#parts;
    if (last === undefined || last === tip || (await isAncestor(database, last, tip))) return;
    if (this.#settings.allowRewind) {
      log.warn('the branch was rewritten; following it, as --allow-rewind says', { last, tip });
      return;
    }
    throw refused(
      'branch-rewritten',
      `${this.#settings.branch} is at ${tip}, which does not descend from ${last}, the commit ${what} is at`,
      {
        hint: 'The branch was rewritten, or the server lags. To follow it, start the reconciler with --allow-rewind.',
        details: { last, tip },
      },
    );
  }

  /** Plans for a target and executes. */
  async #makeTrue(target: Target, drift: Drift, signal: AbortSignal): Promise<Decision> {
    const { root, database, membership, sourcesFor, status } = this.#parts;
    const { memory, connection } = membership;
    const decision = await decide({
      committed: target.committed,
      commit: target.commit,
      drift,
      root,
      objects: database,
      memory,
      connection,
      platform: this.#settings.platform,
      isOffline: target.isKnown,
      sourcesFor,
    });
    status.remembers(memory, this.#settings.branch, decision.desired.held);
    await this.#execute(target, decision, drift.get(generationDrift), signal);
    return decision;
  }

  async #execute(
    target: Target,
    decision: Decision,
    rebuild: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { root, audit, membership, log, status } = this.#parts;
    const { steps } = decision.plan;
    const open = root.journal.unfinished()?.prepared;
    const isResumed = open?.gate?.target === decision.target.digest && steps.length === 0;
    if (open !== undefined && !isResumed) await commitChange(root, audit, open, 'superseded');
    const resumed = isResumed ? open : undefined;
    const planned = await this.#planOperation(target, decision, rebuild, resumed?.operationId);
    const isAlone = planned.target === undefined || planned.isOwnAffair;
    if (isAlone && steps.length === 0 && rebuild === undefined) {
      await this.#rememberGood(decision);
      return;
    }
    const startedAt = this.#parts.now();
    const stop = new AbortController();
    this.#stop = stop;
    this.#operation = planned;
    void this.#watchBranch(target.commit, stop);
    try {
      await status.converging();
      const parts = this.#operationParts(planned, AbortSignal.any([signal, stop.signal]));
      const operation = new Operation(planned, parts);
      const result =
        resumed?.gate === undefined
          ? await operation.run()
          : await operation.resume(decision.target, resumed, resumed.gate.baseline);
      if (isAlone) await this.#rememberGood(decision);
      status.degradedBy(result.degraded);
    } finally {
      stop.abort(new OperationStopped('it is over'));
      this.#stop = undefined;
    }
    for (const { action, alias, from, to } of steps) {
      log.info(`${action} ${alias}`, { from: from?.version, to: to?.version });
    }
    log.info('converged', {
      generation: (await root.current())?.number,
      commit: target.commit?.slice(0, 12),
      by: target.actor.name,
      ms: this.#parts.now().getTime() - startedAt.getTime(),
    });
    await membership.sync();
  }

  /** A newer commit supersedes an operation that is not yet committed. */
  async #watchBranch(commit: string | null, stop: AbortController): Promise<void> {
    const { remote, nextLook } = this.#parts;
    if (nextLook === undefined || commit === null) return;
    while (!stop.signal.aborted) {
      await nextLook(stop.signal);
      if (stop.signal.aborted) return;
      // A server that is away supersedes nothing.
      const tip: string = await remote.resolveBranch(this.#settings.branch).catch(() => commit);
      if (tip !== commit) this.interrupt(`${this.#settings.branch} is at ${tip.slice(0, 12)} now`);
    }
  }

  async #planOperation(
    target: Target,
    decision: Decision,
    rebuild: string | undefined,
    resumed: string | undefined,
  ): Promise<PlannedOperation> {
    const { ring, replica, skipMigrations: skip } = this.#settings;
    const { root, migrationsUrl, log, membership } = this.#parts;
    const { settings } = target.committed;
    const databaseUrl = await migrationsUrl();
    const { holds } = membership.memory;
    const isAsked = decision.ringSteps.every(({ alias }) => holds.get(alias)?.withDown === true);
    const downMode = isAsked ? ('all' as const) : ('safe' as const);
    const facts = { ring, replica, databaseUrl, skip, settings, downMode };
    const isWatched = new Application(this.#settings.application, settings).isWatched;
    const isForRing = await this.#concernsRing(target, decision, resumed !== undefined);
    return {
      plan: decision.plan,
      target: isForRing ? decision.target : undefined,
      isOwnAffair: membership.connection === 'alone' && resumed === undefined && !isWatched,
      ringSteps: decision.isNewForRing ? decision.ringSteps : [],
      schema: async () =>
        schemaWork(
          facts,
          await readLockCode(root, decision.target.lock, decision.order),
          decision.good === undefined
            ? []
            : await readLockCode(root, decision.good.lock, decision.previousOrder),
          (ahead) => {
            for (const { alias, name, reason } of ahead) {
              log.warn(`the schema is ahead: ${alias} ${name}`, { reason });
            }
          },
        ),
      settings,
      sources: decision.sources,
      facts: this.#facts(target.actor, resumed),
      commit: target.commit,
      detail: {
        ...(target.subject !== '' && { subject: target.subject }),
        ...(rebuild !== undefined && { reason: rebuild }),
      },
    };
  }

  /**
   * Whether the ring's replicas have to agree: on what is new for the ring, and on anything that a
   * serving replica changes. A repair is this disk's own affair.
   */
  async #concernsRing(
    { isAsked }: Target,
    { isNewForRing, plan: { steps }, good, isFirstStep }: Decision,
    isResumed: boolean,
  ): Promise<boolean> {
    const { root, membership } = this.#parts;
    if (isResumed) return true;
    const isServing = (await root.current()) !== undefined;
    const { connection } = membership;
    // Pods always start, and a person is obeyed, also while the database is away.
    if (isFirstStep || (connection === 'away' && (!isServing || isAsked))) return false;
    const isChange = steps.some(({ action }) => action !== 'repair');
    if (!isNewForRing) return isServing && isChange;
    // A ring that is met for the first time as it is.
    if (good === undefined && isServing && !isChange) return false;
    return true;
  }

  async #rememberGood({ isNewForRing, isFirstStep, target, good }: Decision): Promise<void> {
    const { membership } = this.#parts;
    const isMet = good === undefined && membership.connection !== 'away';
    if (!isNewForRing || isFirstStep) return;
    if (membership.connection !== 'alone' && !isMet) return;
    const { lock, digest, commit } = target;
    await membership.memory.markGood({ lock, digest, commit });
  }

  #operationParts(planned: PlannedOperation, signal: AbortSignal): OperationParts {
    const { root, audit, log, now, remote, membership, status, database } = this.#parts;
    const { application: options, branch } = this.#settings;
    return {
      root,
      audit,
      application: new Application(options, planned.settings),
      environment: options.environment,
      repository: remote.url,
      branch,
      log,
      now,
      join: (target, hasRingWork) =>
        membership.join({
          target,
          hasRingWork,
          isOlder: (commit) => this.#isOlder(database, commit, target.commit),
          signal,
        }),
      onPhase: (phase, operation) => status.phase(phase, operation),
      signal,
    };
  }

  async #isOlder(database: ObjectDatabase, commit: string, than: string | null): Promise<boolean> {
    if (than === null || !(await database.has(than))) return false;
    return this.#settings.allowRewind || (await isAncestor(database, commit, than));
  }

  #facts(actor: Actor, operationId: string = uuidv7()): OperationFacts {
    const { ring, replica } = this.#settings;
    return { operationId, ring, replica, actor };
  }

  /**
   * With git away or a commit refused, what is known goes on: drift is repaired, holds are obeyed, an
   * operation left open is ended.
   */
  async #goOnWithoutCommit(found: Promise<Drift>, signal: AbortSignal): Promise<void> {
    const { root, log, status, membership } = this.#parts;
    try {
      const current = await root.current();
      if (current === undefined) return;
      const drift = await found;
      const isNews = await membership.sync();
      const isOpen = root.journal.unfinished() !== undefined;
      if (drift.size === 0 && !isNews && !isOpen && !this.#isAsked) return;
      await this.#makeTrue(await this.#knownTarget(current), drift, signal);
      this.#isAsked = false;
      await status.repaired(await root.current());
    } catch (error) {
      if (!signal.aborted) log.error(`repair failed: ${asRinglockError(error).message}`);
    }
  }

  /** The commit that is served, as far as it is known here; else what is served itself. */
  async #knownTarget(current: Generation): Promise<Target> {
    const { commit } = current;
    const actor = { name: 'ringlock', commit };
    const isAsked = this.#isAsked;
    const known = { commit, actor, subject: '', isAsked, isKnown: true, tenants: undefined };
    try {
      if (commit !== null) {
        const platform = await readCommitted(this.#parts.database, commit);
        return { ...known, committed: await readCommittedRing(platform, this.#settings.ring) };
      }
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
    }
    const ring = parseRingFile('', this.#settings.ring).ring;
    return { ...known, committed: { ring, lock: current.lock, settings: defaultSettings } };
  }

  /** Tells modules of tenants that came, went, or have other modules; what fails is only logged. */
  async #followTenants({ tenants, commit, committed }: Target, signal: AbortSignal): Promise<void> {
    if (tenants === undefined) return;
    const { root, membership, log, audit } = this.#parts;
    const { ring, application } = this.#settings;
    try {
      const facts = this.#facts({ name: 'ringlock', commit });
      await followTenants({
        text: tenants,
        ring,
        operationId: facts.operationId,
        root,
        membership,
        settings: committed.settings,
        environment: application.environment,
        signal,
        log,
        record: async (event, detail) => {
          await audit.append([tenantEvent(facts, event, detail)]);
        },
      });
    } catch (error) {
      if (!signal.aborted) log.error(`tenants: ${asRinglockError(error).message}`);
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

function asRinglockError(error: unknown): RinglockError {
  if (error instanceof RinglockError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return environmentFailed('unexpected', message, { cause: error });
}
