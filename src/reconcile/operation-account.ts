import type { Target } from './branch-follower.ts';
import type { Log } from './log.ts';
import type { PlannedOperation } from './operation.ts';
import { OperationStopped } from './ring/ring-operation.ts';
import type { OperationKind, OperationOutcome } from './tally.ts';

/** What an operation is counted as. */
export function kindOf({ plan }: PlannedOperation, isResumed: boolean): OperationKind {
  if (isResumed) return 'resume';
  return plan.steps.every(({ action }) => action === 'repair') ? 'repair' : 'deploy';
}

/** How an operation that threw has ended. */
export function outcomeOf(error: unknown): OperationOutcome {
  if (error instanceof OperationStopped || isAbort(error)) return 'stopped';
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'turned-back' || code === 'degraded' ? 'reverted' : 'failed';
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** What is about to be done and why: who is called at night looks for where it began. */
export function sayBegin(
  log: Log,
  { plan, target: ringTarget, detail }: PlannedOperation,
  { commit, actor, subject, isKnown }: Target,
  isResumed: boolean,
): void {
  log.info(isResumed ? 'operation goes on' : 'operation begins', {
    commit: commit?.slice(0, 12),
    by: actor.name,
    subject: subject === '' ? undefined : subject,
    steps: plan.steps.map(({ action, alias, to }) => [action, alias, to?.version].join(' ').trim()),
    for: ringTarget === undefined ? 'this root' : 'the ring',
    reason: detail['reason'],
    offline: isKnown || undefined,
  });
}
