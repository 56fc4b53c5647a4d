import type { AuditLog } from '../audit/audit-log.ts';
import { RinglockError } from '../errors.ts';
import type { Root } from '../store/root.ts';
import { Application, type ApplicationOptions } from './application.ts';
import type { BranchFollower, Target } from './branch-follower.ts';
import type { Decision } from './decide.ts';
import { followTenants } from './follow-tenants.ts';
import type { Log } from './log.ts';
import { tellOfMissedSwitch } from './missed-switch.ts';
import { readLockCode } from './module-code.ts';
import type { PlannedOperation } from './operation.ts';
import { type OperationFacts, tenantEvent } from './operation-events.ts';
import type { RingMembership } from './ring/ring-membership.ts';

export interface UpkeepParts {
  readonly ring: string;
  readonly replica: string;
  readonly application: ApplicationOptions;
  readonly root: Root;
  readonly audit: AuditLog;
  readonly membership: RingMembership;
  readonly branch: BranchFollower;
  readonly log: Log;
}

export interface UpkeepRequest {
  readonly target: Target;
  readonly decision: Decision;
  readonly facts: OperationFacts;
  readonly plan: () => Promise<PlannedOperation>;
  readonly signal: AbortSignal;
}

/**
 * What is looked after once a root has converged: the application that missed a switch, operations of the
 * ring that nobody ended, tenants that came or went. None of it is a reason not to have converged; what
 * fails is said, and tried again at the next pass.
 */
export async function upkeep(parts: UpkeepParts, request: UpkeepRequest): Promise<void> {
  for (const look of [tellOfMissed, endLeftOvers, tellTenants]) {
    try {
      await look(parts, request);
    } catch (error) {
      if (request.signal.aborted) return;
      if (!(error instanceof RinglockError)) throw error;
      parts.log.warn(error.message, { code: error.code });
    }
  }
}

async function tellOfMissed(
  { root, ring, replica, application: options }: UpkeepParts,
  { target, signal }: UpkeepRequest,
): Promise<void> {
  const application = new Application(options, target.committed.settings);
  await tellOfMissedSwitch({ root, application, ring, replica, signal });
}

/** What operations of the ring left undone when those that came last were killed. */
async function endLeftOvers(
  { membership, root, branch }: UpkeepParts,
  { target, decision, plan, signal }: UpkeepRequest,
): Promise<void> {
  const { commit } = target;
  const isOlder = (other: string) => branch.isOlder(other, commit);
  const facts = { digest: decision.target.digest, commit, isOlder };
  await membership.endLeftOvers(facts, async ({ id, left }) => {
    const { tidy } = await (await plan()).schema(undefined);
    return tidy?.(id, await readLockCode(root, left)).run(signal);
  });
}

/** Tells modules of tenants that came, went, or have other modules. */
async function tellTenants(
  { root, ring, membership, log, audit, application }: UpkeepParts,
  { target, facts, signal }: UpkeepRequest,
): Promise<void> {
  const { tenants: text, committed } = target;
  if (text === undefined) return;
  const { settings } = committed;
  const { environment } = application;
  const { operationId } = facts;
  await followTenants({
    ...{ text, ring, operationId, root, membership, settings, environment, signal, log },
    record: async (event, detail) => {
      await audit.append([tenantEvent(facts, event, detail)]);
    },
  });
}
