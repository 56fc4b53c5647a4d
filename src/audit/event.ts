import type { StepAction } from '../plan/plan.ts';

/** Who made a change happen. */
export interface Actor {
  /** `Name <email>` of the lock commit's author, or the operator's login. */
  readonly name: string;
  /** The lock commit, or null for an operator's own act. */
  readonly commit: string | null;
}

/** The name of the actor where a root begins with what its image brings along. */
export const seedActor = 'ringlock (seed)';

export type AuditAction =
  | StepAction
  /** The whole operation: committed, refused, reverted, failed. */
  | 'operation'
  /** A tenant's handler was run. */
  | 'tenant'
  /** Something a person did on this root: adopt, hold, unhold, retry. */
  | 'operator';

/** What a caller says of an event; identity, time and chain are added when it is appended. */
export interface AuditEventInput {
  /** UUIDv7, chosen by the caller before the change, so that recovery can append it exactly once. */
  readonly id: string;
  readonly ring: string;
  readonly replica: string;
  readonly actor: Actor;
  /** UUIDv7 of the operation. */
  readonly operationId: string;
  readonly action: AuditAction;
  readonly module: string | null;
  /** Version before, or null. */
  readonly from: string | null;
  /** Version after, or null. */
  readonly to: string | null;
  /** `sha256:<hex>` of the version after (before, for a removal), or null. */
  readonly digest: string | null;
  /** `superseded`: stopped by a newer commit or a person after its switch, before its verdict. */
  readonly outcome: 'succeeded' | 'refused' | 'failed' | 'reverted' | 'superseded';
  /** Particulars as JSON: message, source path, size, changelog section, duration. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** An event as it stands in the journal: one line of RFC 8785 canonical JSON. */
export interface AuditEvent extends AuditEventInput {
  /** 1 for the first event of a root's chain, then one more each. */
  readonly sequence: number;
  /** RFC 3339 with milliseconds, UTC; never earlier than the event before. */
  readonly time: string;
  /** `hash` of the event before it, or 64 zeros for the first. */
  readonly previous: string;
  /** Lower-case hex sha256 of this event's canonical JSON without the property `hash`. */
  readonly hash: string;
}
