import type { Lock } from '../repo/lock.ts';
import type { Settings } from '../repo/settings.ts';
import type { Root } from '../store/root.ts';
import { Application, type ApplicationOptions } from './application.ts';
import type { Target } from './branch-follower.ts';
import type { Decision } from './decide.ts';
import type { Log } from './log.ts';
import { readLockCode } from './module-code.ts';
import type { PlannedOperation } from './operation.ts';
import type { OperationFacts } from './operation-events.ts';
import type { RingMembership } from './ring/ring-membership.ts';
import { type SchemaWork, schemaWork } from './schema-work.ts';
import { signedBy } from './verification-events.ts';

export interface PlanningParts {
  readonly ring: string;
  readonly replica: string;
  readonly root: Root;
  readonly membership: RingMembership;
  readonly application: ApplicationOptions;
  /** The application's database for migrations; undefined where the pod has none. */
  readonly migrationsUrl: () => Promise<string | undefined>;
  readonly skipMigrations: boolean;
  readonly log: Log;
}

export interface OperationRequest {
  readonly target: Target;
  readonly decision: Decision;
  /** Why the generation has to be built again although no module has to change. */
  readonly rebuild: string | undefined;
  readonly facts: OperationFacts;
  /** Whether an operation that a pass before left open goes on. */
  readonly isResumed: boolean;
  /** Whether a person asked for it on this pod. */
  readonly isAsked: boolean;
  /** Whether the ring is known to have gone on beyond this target. */
  readonly isBehind: boolean;
}

/** What a decision means as an operation: for this disk alone, or for the ring. */
export async function planOperation(
  parts: PlanningParts,
  request: OperationRequest,
): Promise<PlannedOperation> {
  const { target, decision, rebuild, facts } = request;
  const { settings } = target.committed;
  // What the ring was on its way to is overtaken, also by what it runs already.
  const { openTarget, connection } = parts.membership;
  const isOvertaking =
    !target.isKnown &&
    !decision.isFirstStep &&
    !request.isBehind &&
    connection !== 'away' &&
    openTarget !== undefined &&
    openTarget !== decision.target.digest;
  const isForRing = isOvertaking || (await concernsRing(parts, request));
  return {
    plan: decision.plan,
    target: isForRing ? decision.target : undefined,
    ringSteps: decision.isNewForRing ? decision.ringSteps : [],
    schema: planSchema(parts, settings, decision.target.lock, downMode(parts, decision)),
    settings,
    sources: decision.sources,
    facts,
    commit: target.commit,
    detail: {
      ...(target.subject !== '' && { subject: target.subject }),
      ...(target.override !== undefined && { override: target.override }),
      ...signedBy(target.verification),
      ...(rebuild !== undefined && { reason: rebuild }),
    },
  };
}

/**
 * Whether the ring's replicas have to agree: on what is new for the ring, and on anything that a serving
 * replica changes. A repair is this disk's own affair, as is everything of a ring of one replica with
 * nobody to ask and nothing to run.
 */
async function concernsRing(
  { root, membership, application, migrationsUrl, skipMigrations }: PlanningParts,
  { target, decision, isResumed, isAsked, isBehind }: OperationRequest,
): Promise<boolean> {
  const { settings } = target.committed;
  const { isNewForRing, good, isFirstStep, hasHandlers } = decision;
  const { steps } = decision.plan;
  if (isResumed) return true;
  const isServing = (await root.current()) !== undefined;
  const { connection } = membership;
  // Pods always start, and a person is obeyed, also while the database is away.
  const isHeld = steps.every(({ alias }) => membership.memory.holds.has(alias));
  if (isFirstStep || (connection === 'away' && (!isServing || (isAsked && isHeld)))) return false;
  if (isBehind) return false;
  const isChange = steps.some(({ action }) => action !== 'repair');
  if (!isNewForRing) return isServing && isChange;
  // A ring that is met for the first time as it is.
  if (good === undefined && isServing && !isChange) return false;
  if (connection !== 'alone') return true;
  if (new Application(application, settings).isWatched || hasHandlers) return true;
  if (skipMigrations) return false;
  return settings.migrations !== undefined || (await migrationsUrl()) !== undefined;
}

/** What the schema has to do with a lock that the ring goes to, asked with the one that it leaves. */
export function planSchema(
  { ring, replica, root, migrationsUrl, skipMigrations: skip, log }: PlanningParts,
  settings: Settings,
  lock: Lock,
  mode: 'safe' | 'all',
): (previous: Lock | undefined) => Promise<SchemaWork> {
  return async (previous) =>
    schemaWork(
      { ring, replica, databaseUrl: await migrationsUrl(), skip, settings, downMode: mode },
      await readLockCode(root, lock),
      previous === undefined ? [] : await readLockCode(root, previous),
      (ahead) => {
        for (const { alias, name, reason } of ahead) {
          log.warn(`the schema is ahead: ${alias} ${name}`, { reason });
        }
      },
    );
}

/** Nobody asked for what nothing is known of: an operation gone on with after the ring committed it. */
function downMode({ membership }: PlanningParts, { ringSteps }: Decision): 'safe' | 'all' {
  const { holds } = membership.memory;
  const isAsked = ringSteps.every(({ alias }) => holds.get(alias)?.withDown === true);
  return ringSteps.length > 0 && isAsked ? 'all' : 'safe';
}
