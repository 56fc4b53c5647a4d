import type { AuditLog } from '../audit/audit-log.ts';
import { RinglockError } from '../errors.ts';
import type { Plan, Step } from '../plan/plan.ts';
import type { Lock } from '../repo/lock.ts';
import type { Settings } from '../repo/settings.ts';
import type { ModuleSource } from '../source/module-source.ts';
import type { Generation } from '../store/generation.ts';
import type { Gate } from '../store/journal.ts';
import type { Root } from '../store/root.ts';
import {
  type Application,
  type Baseline,
  type HandlerFacts,
  ringHandlers,
  runReplicaHandlers,
} from './application.ts';
import type { Log } from './log.ts';
import { beginRevert, commitChange, makeVisible, type OpenChange } from './make-visible.ts';
import { notifyOfCurrent } from './missed-switch.ts';
import { type EndParts, endCommitted, endReverted, leaveVersions } from './operation-end.ts';
import { type OperationFacts, type StagedFacts, switchEvents } from './operation-events.ts';
import {
  isFailureOfWork,
  type RingOperation,
  type RingTarget,
  type RingVerdict,
  turnedBack,
  type Verdict,
} from './ring/ring-operation.ts';
import type { SchemaWork } from './schema-work.ts';
import { stagePlan } from './stage-plan.ts';

/** What an operation is to do, decided before it begins. */
export interface PlannedOperation {
  /** This replica's own part. */
  readonly plan: Plan;
  /** What it is for the ring; undefined for what concerns this disk alone. */
  readonly target: RingTarget | undefined;
  /** What the ring changes: whose handlers run. */
  readonly ringSteps: readonly Step[];
  /** Asked once everything is staged: migrations are read from the store. */
  readonly schema: (previous: Lock | undefined) => Promise<SchemaWork>;
  readonly settings: Settings;
  readonly sources: readonly ModuleSource[];
  readonly facts: OperationFacts;
  readonly commit: string | null;
  /** Particulars of the operation event. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface OperationParts {
  readonly root: Root;
  readonly audit: AuditLog;
  readonly application: Application;
  readonly environment: NodeJS.ProcessEnv;
  readonly repository: string;
  readonly branch: string;
  readonly log: Log;
  readonly now: () => Date;
  /** Takes part in the ring's operation. */
  readonly join: (target: RingTarget, how: JoinHow) => Promise<RingOperation>;
  /** Told of each phase as it begins. */
  readonly onPhase: (phase: Phase, ringOperation: string | null) => Promise<void>;
  readonly signal: AbortSignal;
  /** Only the process ends: going back is not stopped by a newer commit. */
  readonly ending: AbortSignal;
}

export interface JoinHow {
  /** Whether there are migrations or handlers that run once. */
  readonly hasRingWork: boolean;
  /** Whether this replica has switched already. */
  readonly isSwitched: boolean;
}

export type Phase =
  | 'prepare'
  | 'migrate'
  | 'wait for a turn'
  | 'switch'
  | 'handlers'
  | 'notify'
  | 'health gate'
  | 'wait for the ring'
  | 'revert';

/** How it ended: `degraded` stays on the new generation although its application is not well. */
export interface OperationResult {
  readonly generation: Generation | undefined;
  readonly degraded: string | undefined;
}

/**
 * One operation from prepare to committed or reverted (DESIGN section 6). Its steps are the methods
 * below, in the order in which they happen.
 */
export class Operation {
  readonly #planned: PlannedOperation;
  readonly #parts: OperationParts;
  #ring: RingOperation | undefined;
  #schemaWork: Promise<SchemaWork> | undefined;

  constructor(planned: PlannedOperation, parts: OperationParts) {
    this.#planned = planned;
    this.#parts = parts;
  }

  /**
   * @throws RinglockError when it failed: the generation before is then current; OperationStopped when a
   *   newer commit or a person stopped it
   */
  async run(): Promise<OperationResult> {
    const { root, now, join } = this.#parts;
    const { target } = this.#planned;
    const startedAt = now();
    await this.#phase('prepare');
    const staged = await this.#prepare();
    const warmed = await this.#warm();
    if (warmed !== undefined) return this.#dropOut(warmed);
    const before = await root.current();
    const built = await this.#build(before);
    if (target === undefined) {
      if (built !== undefined) await this.#switchAlone(before, built, staged, startedAt);
      return { generation: await root.current(), degraded: undefined };
    }
    const how = { hasRingWork: await this.#hasRingWork(), isSwitched: built === undefined };
    const ring = await join(target, how);
    try {
      this.#ring = ring;
      await this.#orBack(ring, () => this.#migrate(ring));
      const baseline = await this.#parts.application.baseline(ring.signal);
      if (built === undefined) return await this.#finish(ring, undefined, baseline);
      if (before !== undefined) await this.#orBack(ring, () => this.#takeTurn(ring));
      const gate = { target: target.digest, baseline };
      const change = await this.#switch(before, built, staged, startedAt, gate);
      return await this.#finish(ring, change, baseline);
    } finally {
      await ring.close();
    }
  }

  /** Goes on with a change that is visible and whose verdict is still out. */
  async resume(
    target: RingTarget,
    change: OpenChange,
    baseline: Baseline,
  ): Promise<OperationResult> {
    const how = { hasRingWork: await this.#hasRingWork(), isSwitched: true };
    const ring = await this.#parts.join(target, how);
    try {
      this.#ring = ring;
      if (ring.joined === 'reverting') {
        return await this.#revert(ring, change, 'it failed in another replica');
      }
      // The schema may have gone back with an operation that this one takes the place of.
      await this.#migrateAgain(ring);
      return await this.#finish(ring, change, baseline);
    } finally {
      await ring.close();
    }
  }

  #prepare() {
    const { root, signal } = this.#parts;
    const { plan, sources } = this.#planned;
    return stagePlan(plan, root, sources, signal);
  }

  /** @returns how a handler failed that every replica runs before anything is live */
  async #warm(): Promise<RinglockError | undefined> {
    const { signal } = this.#parts;
    try {
      await runReplicaHandlers(this.#handlerFacts(), this.#planned.plan.steps, signal);
      return undefined;
    } catch (error) {
      if (!isFailureOfWork(error) || signal.aborted) throw error;
      return error;
    }
  }

  /** This replica cannot go along; whether the ring can is for the others to say. */
  async #dropOut(failure: RinglockError): Promise<never> {
    const { target } = this.#planned;
    if (target === undefined) throw failure;
    const ring = await this.#parts.join(target, { hasRingWork: true, isSwitched: false });
    try {
      this.#ring = ring;
      const { outcome } = await ring.report({ state: 'unhealthy', reason: failure.message });
      await ring.returned();
      if (outcome === 'reverting') throw turnedBack(failure.message);
      throw failure;
    } finally {
      await ring.close();
    }
  }

  /** Nothing to build when only the ring has something to do. */
  async #build(before: Generation | undefined): Promise<Generation | undefined> {
    const { root, repository, branch } = this.#parts;
    const { plan, commit, facts, detail } = this.#planned;
    if (before !== undefined && plan.steps.length === 0 && detail['reason'] === undefined) return;
    const { operationId } = facts;
    const { effective, skipped: refused } = plan;
    return root.buildGeneration(effective, { commit, operationId, repository, branch, refused });
  }

  /** What turns back before the switch leaves this replica as it was. */
  async #orBack(ring: RingOperation, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const failure = isFailureOfWork(error) ? turnedBack(error.message) : error;
      if (ring.signal.aborted) throw ring.signal.reason;
      if (failure instanceof RinglockError && failure.code === 'turned-back') {
        await ring.returned();
        await leaveVersions(this.#endParts(), ring, 'reverting');
      }
      throw failure;
    }
  }

  async #migrate(ring: RingOperation): Promise<void> {
    if (ring.joined === 'reverting') throw turnedBack('it failed in another replica');
    const { up } = await this.#schema(ring);
    if (up === undefined) return;
    await this.#phase('migrate');
    await ring.once(up(ring.id));
  }

  async #migrateAgain(ring: RingOperation): Promise<void> {
    const { up } = await this.#schema(ring);
    if (up !== undefined && ring.joined === 'rolling') await ring.once(up(ring.id));
  }

  async #takeTurn(ring: RingOperation): Promise<void> {
    await this.#phase('wait for a turn');
    if ((await ring.takeTurn()) === 'granted') return;
    throw turnedBack('it failed in another replica');
  }

  /** For what concerns this disk alone: a repair, a pod that comes to what the ring already runs. */
  async #switchAlone(
    before: Generation | undefined,
    after: Generation,
    staged: StagedFacts,
    startedAt: Date,
  ): Promise<void> {
    await this.#switch(before, after, staged, startedAt, undefined);
    try {
      await this.#notify(before?.number ?? null, this.#parts.signal);
    } catch (error) {
      this.#parts.log.warn(error instanceof Error ? error.message : String(error));
    }
  }

  async #switch(
    before: Generation | undefined,
    after: Generation,
    staged: StagedFacts,
    startedAt: Date,
    gate: Gate | undefined,
  ): Promise<OpenChange> {
    const { root, audit, now } = this.#parts;
    const { plan, commit, facts, detail } = this.#planned;
    await this.#phase('switch');
    const events = switchEvents(facts, plan, staged, {
      ...detail,
      commit,
      from_generation: before?.number ?? null,
      to_generation: after.number,
      lock_digest: after.lockDigest,
      platform: plan.effective.platform,
      duration_ms: now().getTime() - startedAt.getTime(),
      ...(this.#ring !== undefined && { ring_operation: this.#ring.id }),
    });
    const { operationId } = facts;
    const change = { operationId, commit, before, after, events };
    await makeVisible(root, audit, { ...change, ...(gate !== undefined && { gate }) });
    return { operationId, events, fromGeneration: before?.number ?? null };
  }

  /** From the switch to the end: handlers, notify, health gate, and what the ring makes of it. */
  async #finish(
    ring: RingOperation,
    change: OpenChange | undefined,
    baseline: Baseline,
  ): Promise<OperationResult> {
    let verdict: RingVerdict;
    let own: Verdict;
    try {
      await this.#runHandlers(ring);
      own = await this.#judge(change, baseline, ring.signal);
      await this.#phase('wait for the ring');
      verdict = await ring.report(own);
    } catch (error) {
      // Stopped, or the database lost, or the process ending: the change stays open.
      if (ring.signal.aborted) throw ring.signal.reason;
      if (!(error instanceof RinglockError) || error.code !== 'turned-back') throw error;
      return this.#revert(ring, change, error.message);
    }
    return verdict.outcome === 'committed'
      ? this.#commit(ring, change, own)
      : this.#revert(ring, change, verdict.reason);
  }

  async #runHandlers(ring: RingOperation): Promise<void> {
    await this.#phase('handlers');
    // What the ring has committed has had its handlers.
    const steps = ring.joined === 'committed' ? [] : this.#planned.ringSteps;
    for (const work of await ringHandlers(this.#handlerFacts(), steps)) {
      try {
        await ring.once(work);
      } catch (error) {
        if (!isFailureOfWork(error) || ring.signal.aborted) throw error;
        if (!this.#isForced) throw turnedBack(error.message);
        this.#parts.log.error(error.message, { code: error.code });
      }
    }
  }

  async #judge(
    change: OpenChange | undefined,
    baseline: Baseline,
    signal: AbortSignal,
  ): Promise<Verdict> {
    if (change === undefined) return { state: 'abstained', reason: 'nothing changed here' };
    try {
      await this.#notify(change.fromGeneration, signal);
    } catch (error) {
      if (!(error instanceof RinglockError) || signal.aborted) throw error;
      // One that was not well before, or never was there, cannot be told, and is not made worse.
      const isBlamed = baseline !== 'unhealthy' && change.fromGeneration !== null;
      return { state: isBlamed ? 'unhealthy' : 'abstained', reason: error.message };
    }
    await this.#phase('health gate');
    return this.#parts.application.gate(baseline, signal);
  }

  async #notify(previousGeneration: number | null, signal: AbortSignal): Promise<void> {
    const { application, root } = this.#parts;
    if (!application.isNotified) return;
    await this.#phase('notify');
    await notifyOfCurrent(application, root, this.#planned.facts, previousGeneration, signal);
  }

  async #commit(
    ring: RingOperation,
    change: OpenChange | undefined,
    { state, reason }: Verdict,
  ): Promise<OperationResult> {
    await endCommitted(this.#endParts(), ring, change, { health: state, health_reason: reason });
    return {
      generation: await this.#parts.root.current(),
      degraded: state === 'unhealthy' ? reason : undefined,
    };
  }

  /** Back to the generation before; one that is not well there either is not reverted again. */
  async #revert(
    ring: RingOperation,
    change: OpenChange | undefined,
    reason: string,
  ): Promise<never> {
    const { root, audit, log } = this.#parts;
    await this.#phase('revert');
    if (change?.fromGeneration === null) {
      // There is nothing to go back to: what serves stays, and the next pass plans from it.
      await commitChange(root, audit, change, 'superseded', { reason });
      throw await endReverted(this.#endParts(), ring, undefined, reason);
    }
    if (change !== undefined) {
      await beginRevert(root, audit, change, reason);
      log.error(`reverted: ${reason}`, { operation: change.operationId });
    }
    throw await endReverted(this.#endParts(), ring, change, reason);
  }

  get #isForced(): boolean {
    return this.#planned.target?.isForced === true;
  }

  #endParts(): EndParts {
    return {
      ...this.#parts,
      // What goes back is not stopped by what comes next.
      signal: this.#parts.ending,
      notify: (signal) => this.#notify(null, signal),
      schema: (ring) => this.#schema(ring),
    };
  }

  #schema(ring: RingOperation): Promise<SchemaWork> {
    this.#schemaWork ??= this.#planned.schema(ring.previous);
    return this.#schemaWork;
  }

  /** What must happen once: such a plan waits for the database that says whether it has. */
  async #hasRingWork(): Promise<boolean> {
    const handlers = await ringHandlers(this.#handlerFacts(), this.#planned.ringSteps);
    return (
      handlers.length > 0 || (await this.#planned.schema(this.#planned.target?.previous)).isChanged
    );
  }

  #handlerFacts(): HandlerFacts {
    const { root, environment } = this.#parts;
    const { settings, facts } = this.#planned;
    const { ring, operationId } = facts;
    return { root, ring, settings, environment, operationId: this.#ring?.id ?? operationId };
  }

  #phase(phase: Phase): Promise<void> {
    return this.#parts.onPhase(phase, this.#ring?.id ?? null);
  }
}
