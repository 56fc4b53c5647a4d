import { setTimeout as delay } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import type { Actor } from '../audit/event.ts';
import { environmentFailed, RinglockError } from '../errors.ts';
import { samePin } from '../repo/lock.ts';
import type { Settings } from '../repo/settings.ts';
import { generationDrift } from '../store/drift.ts';
import type { RootStatus } from '../store/status-file.ts';
import { Application } from './application.ts';
import { BranchFollower, type Target } from './branch-follower.ts';
import { blockedBy, type Decision, decide } from './decide.ts';
import { DecisionExecutor } from './decision-executor.ts';
import { type OperationFacts, operationEvent, operatorEvent } from './operation-events.ts';
import { readRequests } from './operator-requests.ts';
import type { ReconcilerParts, ReconcilerSettings } from './reconciler-parts.ts';
import { ReleasedBytes } from './released-bytes.ts';
import { OperationStopped } from './ring/ring-operation.ts';
import { takeRequest } from './take-request.ts';
import { upkeep } from './upkeep.ts';
import { trustEvents } from './verification-events.ts';

/** Alias → what differs on disk, in words. */
type Drift = ReadonlyMap<string, string>;

/** Passes that follow each other at once: a stopped operation, a revert and what it leaves to do. */
const passesAtOnce = 8;

/** When the ring is ahead of what this replica has seen, in ms. */
const lookAgainMs = 500;

/**
 * One ring's reconciler on one root: compares the committed lock with the disk and makes them match.
 * The steps of a pass are the methods below, in the order in which they happen.
 */
export class Reconciler {
  readonly #settings: ReconcilerSettings;
  readonly #parts: ReconcilerParts;
  readonly #branch: BranchFollower;
  readonly #executor: DecisionExecutor;
  readonly #released: ReleasedBytes;
  /** The tip that was last found converged, in this process: an unchanged branch needs no more. */
  #convergedTip: string | undefined;
  /** What was learned since then (a hold, a retry, an operation left open) needs a whole pass. */
  #isDirty = true;
  /** A person asked for something on this pod since the last pass that was done. */
  #isAsked = false;
  /** What a process before had taken and not yet done is found by one pass, also with git away. */
  #hasGoneOn = false;
  #lastContentCheck = 0;

  constructor(settings: ReconcilerSettings, parts: ReconcilerParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#branch = new BranchFollower({ ...settings, ...parts, memory: parts.membership.memory });
    this.#released = new ReleasedBytes(parts.root, parts.membership);
    this.#executor = new DecisionExecutor(settings, parts, this.#branch, () => this.heardNews());
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
    this.#executor.interrupt(reason);
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
    let drift = this.#findDrift();
    drift.catch(() => {}); // whoever awaits it reports it
    this.#executor.begin();
    const { attempt } = this.#parts;
    const limited = attempt.begin(signal);
    try {
      if (await this.takeRequests()) {
        this.#lastContentCheck = 0;
        drift = drift.then(() => this.#findDrift());
        drift.catch(() => {});
      }
      return await this.#reconcileCommit(drift, limited);
    } catch (caught) {
      if (signal.aborted) return 'done';
      const error = attempt.failure ?? caught;
      attempt.end(signal);
      if (error instanceof OperationStopped) {
        this.#isDirty = true;
        this.#parts.log.info(`stopped: ${error.message}`);
        return 'again';
      }
      return this.#failed(asRinglockError(error), drift, signal);
    } finally {
      attempt.end(signal);
    }
  }

  /**
   * Takes what people asked on this pod since the last pass; by itself it makes nothing of it true.
   *
   * @returns whether somebody wants what is served anew: each of its bytes is then looked at
   */
  async takeRequests(): Promise<boolean> {
    const { root, membership, audit, log, status } = this.#parts;
    const { ring, replica } = this.#settings;
    const who = { ring, replica, changes: this.#executor.lastTarget?.changes };
    const requests = await readRequests(root.path);
    // What a hold replaces may have been said on another pod.
    if (requests.length > 0 && membership.connection !== 'away') await membership.sync();
    for (const { request, done } of requests) {
      const taken = await takeRequest(request, membership, who);
      const event = operatorEvent(this.#facts({ name: request.by, commit: null }), taken);
      await audit.append([{ ...event, id: request.id }]);
      log.info(`${request.by}: ${taken.message}`);
      await done();
      this.#isDirty = true;
      this.#isAsked = true;
      status.remembers(membership.memory, this.#settings.branch, new Map());
    }
    if (requests.length === 0) return false;
    await membership.sync();
    await membership.announce();
    const served = (await root.current())?.lock.modules;
    return requests.some(({ request }) => {
      if (request.kind !== 'hold') return false;
      const present = served?.get(request.alias);
      return present !== undefined && samePin(present, request.entry);
    });
  }

  async #failed(
    failure: RinglockError,
    drift: Promise<Drift>,
    signal: AbortSignal,
  ): Promise<'done' | 'again'> {
    const { status, log, tally } = this.#parts;
    this.#isDirty = true;
    tally.failures.add({ code: failure.code });
    log[failure.exitCode === 3 ? 'error' : 'warn'](failure.message, { code: failure.code });
    if (failure.code === 'turned-back') {
      await this.#rememberFailure(failure);
      return 'again';
    }
    if (failure.code === 'ring-ahead') {
      await delay(lookAgainMs, undefined, { signal }).catch(() => {});
      return 'again';
    }
    await this.#recordRefusal(failure);
    if (failure.code === 'degraded') status.degradedBy(failure.message);
    await status.fail(failure);
    if (failure.code !== 'degraded') await this.#goOnWithoutCommit(drift, signal);
    return 'done';
  }

  async #reconcileCommit(drift: Promise<Drift>, signal: AbortSignal): Promise<'done' | 'again'> {
    const { status, root, membership } = this.#parts;
    const tip = await this.#observe();
    const isSettled = tip === this.#convergedTip && !this.#isDirty && !status.current.degraded;
    if (isSettled && (await drift).size === 0) {
      await status.unchanged(tip);
      this.#synced();
      void membership.syncNowAndThen(() => this.heardNews());
      return 'done';
    }
    // What is learned from here on is for the next pass.
    this.#isDirty = false;
    if (tip !== this.#convergedTip) void membership.announce();
    await membership.sync();
    const target = await this.#branch.fetch(tip);
    if (target.committed.ring.suspended !== undefined) {
      await status.suspended(tip, target.committed.ring.suspended);
      return 'done';
    }
    await this.#obeyAtOnce(await drift, signal);
    const decision = await this.#makeTrue(target, await drift, signal);
    this.#parts.attempt.goOn();
    if (decision.isFirstStep) {
      this.#isDirty = true;
      return 'again';
    }
    if (decision.desired.blocked !== undefined) throw blockedBy(decision.desired.blocked);
    await this.#recordTrust(target);
    await this.#branch.markConverged(tip, target.verification);
    this.#convergedTip = tip;
    this.#isAsked = false;
    await this.#lookAtHealth(target.committed.settings, signal);
    const verified = target.verification && membership.memory.verified(this.#settings.branch);
    await status.converged(tip, await root.current(), verified);
    this.#synced();
    await upkeep(
      { ...this.#settings, ...this.#parts, branch: this.#branch },
      {
        target,
        decision,
        facts: this.#facts({ name: 'ringlock', commit: tip }),
        plan: () => this.#executor.plan(target, decision),
        signal,
      },
    );
    if (await membership.sync()) this.#isDirty = true;
    return 'done';
  }

  /** What passes without a signature is an event of its own. */
  async #recordTrust({ verification, commit }: Target): Promise<void> {
    if (verification === undefined) return;
    const facts = this.#facts({ name: 'ringlock', commit });
    await this.#parts.audit.append(trustEvents(facts, verification));
  }

  /** The branch was seen, and the root is as its lock says. */
  #synced(): void {
    this.#parts.tally.lastSync = this.#parts.now().getTime();
  }

  /** With the database away a person's hold is obeyed by itself: the rest of a plan may have to wait. */
  async #obeyAtOnce(drift: Drift, signal: AbortSignal): Promise<void> {
    const { root, membership } = this.#parts;
    const current = await root.current();
    if (!this.#isAsked || membership.connection !== 'away' || current === undefined) return;
    const known = await this.#branch.known(current);
    const committed = { ...known.committed, lock: current.lock };
    await this.#makeTrue({ ...known, committed }, drift, signal);
    this.#isAsked = false;
  }

  /** What the ring decided is known here too, also when the database is lost right after. */
  async #rememberFailure({ message }: RinglockError): Promise<void> {
    const { membership } = this.#parts;
    await membership.sync();
    const target = this.#executor.lastTarget;
    if (target === undefined || target.isForced || membership.connection === 'database') return;
    const { changes, commit } = target;
    if (changes.length > 0)
      await membership.memory.markFailed({ changes, reason: message, commit });
  }

  /** An application that was left unwell stays degraded until it is seen well again. */
  async #lookAtHealth(settings: Settings, signal: AbortSignal): Promise<void> {
    const { status } = this.#parts;
    if (!status.current.degraded) return;
    const application = new Application(this.#settings.application, settings);
    if ((await application.baseline(signal)) !== 'unhealthy') status.degradedBy(undefined);
  }

  /** The branch's tip: one ls-refs. */
  async #observe(): Promise<string> {
    const { status, remote, now } = this.#parts;
    const tip = await this.#branch.observe();
    status.observed(tip, now(), remote.answering ?? null);
    return tip;
  }

  /** Links at every tick, every byte now and then. */
  async #findDrift(): Promise<Drift> {
    const { root, now, log, tally } = this.#parts;
    // A clock that jumped back must not put the next check off for as long.
    const elapsed = Math.abs(now().getTime() - this.#lastContentCheck);
    const due = elapsed >= this.#settings.contentCheckMs;
    const drift = await root.findDrift(due ? 'content' : 'links');
    if (due) this.#lastContentCheck = now().getTime();
    tally.drift = drift;
    for (const [alias, what] of drift) log.warn(`${alias} drifted: ${what}`);
    return drift;
  }

  /** Plans for a target and executes. */
  async #makeTrue(
    target: Target,
    drift: Drift,
    signal: AbortSignal,
  ): Promise<Decision & { readonly isExecuted: boolean }> {
    const { root, database, membership, sourcesFor, status } = this.#parts;
    const { memory, connection } = membership;
    const decision = await decide({
      committed: target.committed,
      commit: target.commit,
      branch: this.#settings.branch,
      drift,
      root,
      released: this.#released,
      objects: database,
      memory,
      connection,
      platform: this.#settings.platform,
      isOffline: target.isKnown,
      sourcesFor,
    });
    status.remembers(memory, this.#settings.branch, decision.desired.held);
    const how = { isAsked: this.#isAsked, rebuild: drift.get(generationDrift) };
    const isExecuted = await this.#executor.execute(target, decision, how, signal);
    if (isExecuted) this.#parts.tally.drift = new Map();
    return { ...decision, isExecuted };
  }

  #facts(actor: Actor, operationId: string = uuidv7()): OperationFacts {
    const { ring, replica } = this.#settings;
    return { operationId, ring, replica, actor };
  }

  /**
   * With git away or a commit refused, what is known goes on: drift is repaired, holds are obeyed, an
   * operation left open is ended.
   */
  async #goOnWithoutCommit(
    found: Promise<Drift>,
    signal: AbortSignal,
    isAgain = false,
  ): Promise<void> {
    const { root, log, status, membership, tally } = this.#parts;
    try {
      const current = await root.current();
      if (current === undefined) return;
      const drift = await found;
      const isNews = await membership.sync();
      const isOpen = root.journal.unfinished() !== undefined;
      const isDue = isNews || isOpen || this.#isAsked || !this.#hasGoneOn;
      if (drift.size === 0 && !isDue) return;
      const known = await this.#branch.known(current);
      if (known.committed.ring.suspended !== undefined) return;
      const { isExecuted } = await this.#makeTrue(known, drift, signal);
      this.#isAsked = false;
      this.#hasGoneOn = true;
      if (isExecuted) await status.repaired(await root.current());
    } catch (error) {
      if (signal.aborted) return;
      const failure = asRinglockError(error);
      tally.failures.add({ code: failure.code });
      log.error(`repair failed: ${failure.message}`, { code: failure.code });
      // Its versions are known as failed from here on: there may be more to do.
      if (failure.code === 'turned-back' && !isAgain) {
        await this.#goOnWithoutCommit(found, signal, true);
      }
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
