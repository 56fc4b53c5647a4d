import { uuidv7 } from 'uuidv7';
import type { Actor } from '../audit/event.ts';
import type { UnfinishedOperation } from '../store/journal.ts';
import { Application } from './application.ts';
import type { BranchFollower, Target } from './branch-follower.ts';
import type { Decision } from './decide.ts';
import { endOpenChange, type OpenChangeParts } from './end-open-change.ts';
import { logWith } from './log.ts';
import {
  Operation,
  type OperationParts,
  type OperationResult,
  type PlannedOperation,
} from './operation.ts';
import { kindOf, outcomeOf, sayBegin } from './operation-account.ts';
import type { OperationFacts } from './operation-events.ts';
import { PhaseTimes } from './phase-times.ts';
import { planOperation } from './plan-operation.ts';
import type { ReconcilerParts, ReconcilerSettings } from './reconciler-parts.ts';
import { OperationStopped, type RingTarget } from './ring/ring-operation.ts';
import type { OperationOutcome } from './tally.ts';

export interface HowToExecute {
  /** Whether a person asked for it on this pod. */
  readonly isAsked: boolean;
  /** Why the generation has to be built again although no module has to change. */
  readonly rebuild: string | undefined;
}

/** Does what a pass has decided, as one operation at a time that can be stopped. */
export class DecisionExecutor {
  readonly #settings: ReconcilerSettings;
  readonly #parts: ReconcilerParts;
  readonly #branch: BranchFollower;
  /** Called when there is something new for the next pass. */
  readonly #onNews: () => void;
  /** Ends the operation under way, so that everybody plans again. */
  #stop: AbortController | undefined;
  /** Asked for in this pass, before there was an operation to end. */
  #interruption: OperationStopped | undefined;
  readonly #phases: PhaseTimes;
  /** The last one that did not come to its end: it was stopped, or failed. */
  #last: PlannedOperation | undefined;

  constructor(
    settings: ReconcilerSettings,
    parts: ReconcilerParts,
    branch: BranchFollower,
    onNews: () => void,
  ) {
    this.#settings = settings;
    this.#parts = parts;
    this.#phases = new PhaseTimes(parts.tally.phases);
    this.#branch = branch;
    this.#onNews = onNews;
  }

  /** What an operation was for that was stopped or failed; undefined for this disk's own affairs. */
  get lastTarget(): RingTarget | undefined {
    return this.#last?.target;
  }

  /** A pass begins: what was interrupted before is over. */
  begin(): void {
    this.#interruption = undefined;
  }

  /** Stops the operation under way, or the one that this pass is about to begin. */
  interrupt(reason: string): void {
    this.#interruption = new OperationStopped(reason);
    this.#stop?.abort(this.#interruption);
  }

  /** What a decision would be as an operation. */
  async plan(
    target: Target,
    decision: Decision,
    how: HowToExecute = { isAsked: false, rebuild: undefined },
    resumed?: string,
  ): Promise<PlannedOperation> {
    const { isAsked, rebuild } = how;
    const facts = this.#facts(target.actor, resumed);
    const log = logWith(this.#parts.log, { operation: facts.operationId });
    return planOperation(
      { ...this.#settings, ...this.#parts, log },
      {
        target,
        decision,
        rebuild,
        facts,
        isResumed: resumed !== undefined,
        isAsked,
        isBehind: await this.#isBehind(target),
      },
    );
  }

  /** The ring has gone on to a commit that this replica does not know: it takes nobody back. */
  async #isBehind({ commit }: Target): Promise<boolean> {
    const anchor = this.#parts.membership.memory.anchor(this.#settings.branch);
    if (anchor === undefined || anchor === commit) return false;
    return !(await this.#branch.isOlder(anchor, commit));
  }

  /**
   * Goes on with what a pass before left open, or ends it, and does what was decided.
   *
   * @returns whether there was anything to do
   * @throws RinglockError, OperationStopped as Operation.run()
   */
  async execute(
    target: Target,
    decision: Decision,
    how: HowToExecute,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { root, membership, status, attempt } = this.#parts;
    const { steps } = decision.plan;
    const open = root.journal.unfinished();
    const isResumed =
      open?.reverting === undefined &&
      open?.prepared.gate?.target === decision.target.digest &&
      steps.length === 0;
    if (open !== undefined) attempt.goOn();
    if (open !== undefined && !isResumed) {
      await endOpenChange(this.#openChangeParts(target, open, signal), open);
    }
    const resumed = isResumed ? open?.prepared : undefined;
    const planned = await this.plan(target, decision, how, resumed?.operationId);
    if (planned.target === undefined && steps.length === 0 && how.rebuild === undefined) {
      await this.#rememberGood(decision, target);
      return false;
    }
    const log = logWith(this.#parts.log, { operation: planned.facts.operationId });
    sayBegin(log, planned, target, isResumed);
    const startedAt = this.#parts.now();
    await status.converging();
    const { degraded } = await this.#counted(planned, isResumed, () =>
      this.#runStoppable(target, planned, signal, (operation) =>
        resumed?.gate === undefined
          ? operation.run()
          : operation.resume(decision.target, resumed, resumed.gate.baseline),
      ),
    );
    if (planned.target === undefined) await this.#rememberGood(decision, target);
    else status.degradedBy(degraded);
    for (const { action, alias, from, to } of steps) {
      log.info(`${action} ${alias}`, { from: from?.version, to: to?.version });
    }
    log.info('converged', {
      generation: (await root.current())?.number,
      commit: target.commit?.slice(0, 12),
      by: target.actor.name,
      ms: this.#parts.now().getTime() - startedAt.getTime(),
    });
    if (await membership.sync()) this.#onNews();
    return true;
  }

  /** What an operation was, how it ended and how long it took. */
  async #counted(
    planned: PlannedOperation,
    isResumed: boolean,
    run: () => Promise<OperationResult>,
  ): Promise<OperationResult> {
    const { tally, now } = this.#parts;
    const kind = kindOf(planned, isResumed);
    const since = performance.now();
    tally.running = { id: planned.facts.operationId, kind, since: now().toISOString() };
    let outcome: OperationOutcome = 'committed';
    try {
      const result = await run();
      for (const { action } of planned.plan.steps) tally.steps.add({ action });
      return result;
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      this.#phases.end();
      tally.running = undefined;
      tally.operations.add({ kind, outcome });
      tally.operationTimes.observe({ kind, outcome }, performance.now() - since);
    }
  }

  /** Runs an operation that a newer commit, a person or another replica's news may end. */
  async #runStoppable(
    target: Target,
    planned: PlannedOperation,
    signal: AbortSignal,
    run: (operation: Operation) => Promise<OperationResult>,
  ): Promise<OperationResult> {
    const stop = new AbortController();
    this.#stop = stop;
    this.#last = planned;
    if (this.#interruption !== undefined) stop.abort(this.#interruption);
    void this.#watchBranch(target, stop);
    try {
      const parts = this.#operationParts(planned, signal, stop.signal);
      const result = await run(new Operation(planned, parts));
      this.#last = undefined;
      return result;
    } finally {
      stop.abort(new OperationStopped('it is over'));
      this.#stop = undefined;
    }
  }

  /** A newer commit that says something else of the ring supersedes an operation not yet committed. */
  async #watchBranch({ commit, committed }: Target, stop: AbortController): Promise<void> {
    const { nextLook } = this.#parts;
    if (nextLook === undefined || commit === null) return;
    let seen = commit;
    while (!stop.signal.aborted) {
      await nextLook(stop.signal);
      if (stop.signal.aborted) return;
      // A server that is away supersedes nothing.
      const tip: string = await this.#branch.observe().catch(() => seen);
      if (tip === seen || (await this.#branch.saysTheSame(tip, committed))) {
        seen = tip;
        continue;
      }
      this.#onNews();
      const isNewer = await this.#branch.isOlder(commit, tip);
      const message = `${this.#settings.branch} is at ${tip.slice(0, 12)} now`;
      stop.abort(new OperationStopped(message, isNewer ? tip : undefined));
    }
  }

  async #rememberGood(
    { isNewForRing, isFirstStep, target, good }: Decision,
    { isKnown }: Target,
  ): Promise<void> {
    const { membership } = this.#parts;
    if (isKnown && good !== undefined) return;
    const isMet = good === undefined && membership.connection !== 'away';
    if (!isNewForRing || isFirstStep) return;
    if (membership.connection !== 'alone' && !isMet) return;
    const { lock, digest, commit } = target;
    await membership.memory.markGood({ lock, digest, commit });
  }

  #operationParts(
    planned: PlannedOperation,
    ending: AbortSignal,
    stop: AbortSignal,
  ): OperationParts {
    const signal = AbortSignal.any([ending, stop]);
    const { root, audit, now, remote, membership, status, attempt } = this.#parts;
    const log = logWith(this.#parts.log, { operation: planned.facts.operationId });
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
      join: (target, how) =>
        membership.join({
          target,
          ...how,
          isOlder: (commit) => this.#branch.isOlder(commit, target.commit),
          log,
          signal,
          ending,
        }),
      onPhase: (phase, operation) => {
        if (phase !== 'prepare') attempt.goOn();
        this.#phases.begin(phase);
        log.debug(`phase: ${phase}`, { ring_operation: operation });
        return status.phase(phase, operation);
      },
      signal,
      ending,
    };
  }

  #openChangeParts(
    { actor, committed: { settings } }: Target,
    { prepared: { operationId } }: UnfinishedOperation,
    signal: AbortSignal,
  ): OpenChangeParts {
    const facts = this.#facts(actor, operationId);
    const log = logWith(this.#parts.log, { operation: operationId });
    const rejoin: OpenChangeParts['rejoin'] = (target) =>
      this.#parts.membership.rejoin({ target, signal, ending: signal });
    return { ...this.#settings, ...this.#parts, log, settings, facts, signal, rejoin };
  }

  #facts(actor: Actor, operationId: string = uuidv7()): OperationFacts {
    const { ring, replica } = this.#settings;
    return { operationId, ring, replica, actor };
  }
}
