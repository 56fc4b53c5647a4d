import { describeViolation } from '../../repo/bump-rules.ts';
import type { FoundViolation } from '../version-check.ts';

/** What a hook says and whether git may go on. */
export interface HookOutcome {
  readonly allowed: boolean;
  /** Printed to standard error, one after the other. */
  readonly messages: readonly string[];
}

export const nothingToSay: HookOutcome = { allowed: true, messages: [] };

export function describeAll(violations: readonly FoundViolation[]): string[] {
  return violations.map((violation) => describeViolation(violation, violation.files));
}
