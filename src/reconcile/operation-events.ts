import { uuidv7 } from 'uuidv7';
import type { Actor, AuditEventInput } from '../audit/event.ts';
import type { Plan, Step } from '../plan/plan.ts';
import { redactValues } from '../redaction.ts';

/** Who and what an operation's events are about. */
export interface OperationFacts {
  /** UUIDv7. */
  readonly operationId: string;
  readonly ring: string;
  readonly replica: string;
  readonly actor: Actor;
}

/** What is known of a module's bytes after staging, by alias. */
export type StagedFacts = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/**
 * The events of an operation that is about to become visible: one for each step, in order, then one
 * for the whole. Their ids are fixed here, so that recovery can append each exactly once.
 */
export function switchEvents(
  facts: OperationFacts,
  plan: Plan,
  staged: StagedFacts,
  detail: Readonly<Record<string, unknown>>,
): AuditEventInput[] {
  const steps = plan.steps.map((step) => stepEvent(facts, step, staged.get(step.alias) ?? {}));
  const skipped = plan.skipped.map(({ message }) => message);
  return [
    ...steps,
    operationEvent(facts, 'succeeded', {
      ...detail,
      steps: plan.steps.length,
      ...(skipped.length > 0 && { skipped }),
    }),
  ];
}

/** The events of going back: each step of an operation undone, then the whole, with the reason. */
export function revertEvents(
  events: readonly AuditEventInput[],
  reason: string,
): AuditEventInput[] {
  return events.map((event) => ({
    ...event,
    id: uuidv7(),
    outcome: 'reverted' as const,
    detail: redactValues({ ...(event.action === 'operation' ? event.detail : {}), reason }),
  }));
}

/** The event of an operation as a whole, by itself when it was refused or failed before it began. */
export function operationEvent(
  facts: OperationFacts,
  outcome: AuditEventInput['outcome'],
  detail: Readonly<Record<string, unknown>>,
): AuditEventInput {
  return {
    ...identity(facts),
    action: 'operation',
    module: null,
    from: null,
    to: null,
    digest: null,
    outcome,
    // Kept in the journal before the audit has it.
    detail: redactValues(detail),
  };
}

/** A tenant's handler was run, or failed. */
export function tenantEvent(
  facts: OperationFacts,
  { alias, event, tenant, outcome }: TenantOutcome,
  detail: Readonly<Record<string, unknown>>,
): AuditEventInput {
  return {
    ...operationEvent(facts, outcome, { event, tenant, ...detail }),
    action: 'tenant',
    module: alias,
  };
}

export interface TenantOutcome {
  readonly alias: string;
  readonly event: 'onEnable' | 'onDisable';
  readonly tenant: string;
  readonly outcome: 'succeeded' | 'failed';
}

/** Something that a person did on this root. */
export function operatorEvent(
  facts: OperationFacts,
  { alias, version, message, detail }: OperatorAct,
): AuditEventInput {
  return {
    ...operationEvent(facts, 'succeeded', { message, ...detail }),
    action: 'operator',
    module: alias,
    to: version,
  };
}

export interface OperatorAct {
  readonly alias: string | null;
  readonly version: string | null;
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

function stepEvent(
  facts: OperationFacts,
  { action, alias, from, to, reason }: Step,
  staged: Readonly<Record<string, unknown>>,
): AuditEventInput {
  return {
    ...identity(facts),
    action,
    module: alias,
    from: from?.version ?? null,
    to: to?.version ?? null,
    digest: to?.sha256 ?? from?.sha256 ?? null,
    outcome: 'succeeded',
    detail: {
      ...staged,
      ...(to !== null && { size_bytes: to.size_bytes, file_count: to.file_count }),
      ...(reason !== undefined && { reason }),
    },
  };
}

function identity({ operationId, ring, replica, actor }: OperationFacts) {
  return { id: uuidv7(), ring, replica, actor, operationId };
}
