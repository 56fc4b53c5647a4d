import type { AuditLog } from '../audit/audit-log.ts';
import type { Settings } from '../repo/settings.ts';
import { readGeneration } from '../store/generation.ts';
import type { Gate, UnfinishedOperation } from '../store/journal.ts';
import { Application } from './application.ts';
import { commitChange } from './make-visible.ts';
import { notifyOfCurrent } from './missed-switch.ts';
import { type EndParts, endCommitted, endReverted } from './operation-end.ts';
import type { OperationFacts } from './operation-events.ts';
import { type PlanningParts, planSchema } from './plan-operation.ts';
import { finishOperation } from './recover-operation.ts';
import type { RingOperation, RingTarget } from './ring/ring-operation.ts';
import { noSchemaWork } from './schema-work.ts';

export interface OpenChangeParts extends PlanningParts {
  readonly audit: AuditLog;
  readonly settings: Settings;
  readonly facts: OperationFacts;
  readonly signal: AbortSignal;
  /** Takes part in what the ring has begun for a target; undefined when it has gone on from there. */
  readonly rejoin: (target: RingTarget) => Promise<RingOperation | undefined>;
}

/**
 * Ends a change that a pass before left open and that nobody goes on to: one that was going back, one
 * that the ring has committed, or one that something newer has superseded.
 *
 * @throws RinglockError `turned-back` or `degraded` for one that was going back
 */
export async function endOpenChange(
  parts: OpenChangeParts,
  { prepared, reverting }: UnfinishedOperation,
): Promise<void> {
  const { root, audit, membership } = parts;
  // A pass that failed half-way may not have come to its switch, or has no verdict to wait for.
  if ((await finishOperation(root, audit)) !== 'open') return;
  const { gate } = prepared;
  const isCommitted = gate !== undefined && membership.memory.good?.digest === gate.target;
  if (gate === undefined || (reverting === undefined && !isCommitted)) {
    await commitChange(root, audit, prepared, 'superseded');
    return;
  }
  const target = await ringTarget(parts, prepared, gate);
  const ring = target && (await parts.rejoin(target));
  const end = endParts(parts, target);
  try {
    if (reverting === undefined) {
      const detail = { health_reason: 'the ring had committed it' };
      if (ring !== undefined) await endCommitted(end, ring, prepared, detail);
      else await commitChange(root, audit, prepared, 'succeeded', detail);
      return;
    }
    const reason = String(reverting.events.at(-1)?.detail['reason'] ?? 'it failed');
    throw await endReverted(end, ring, prepared, reason);
  } finally {
    await ring?.close();
  }
}

/** What the operation was for, as far as the root still knows; gc may have removed it. */
async function ringTarget(
  { root, settings }: OpenChangeParts,
  { commit, toGeneration, fromGeneration }: UnfinishedOperation['prepared'],
  { target: digest }: Gate,
): Promise<RingTarget | undefined> {
  const after = await readGeneration(root.path, toGeneration);
  if (after === undefined) return undefined;
  const before =
    fromGeneration === null ? undefined : await readGeneration(root.path, fromGeneration);
  const { rollout, revertOn } = settings.policy;
  const policy = { rollout, revertOn };
  const previous = before?.lock;
  const { branch } = after;
  return {
    ...{ commit, branch: branch ?? '', lock: after.lock, digest, changes: [], previous },
    ...{ isReturn: false, isForced: false, policy },
  };
}

function endParts(parts: OpenChangeParts, target: RingTarget | undefined): EndParts {
  const { settings, facts, root } = parts;
  const application = new Application(parts.application, settings);
  return {
    ...parts,
    application,
    notify: async (signal) => {
      if (application.isNotified) await notifyOfCurrent(application, root, facts, null, signal);
    },
    schema: async ({ previous }) =>
      target === undefined
        ? noSchemaWork
        : planSchema(parts, settings, target.lock, 'safe')(previous ?? target.previous),
  };
}
