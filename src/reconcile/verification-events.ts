import type { AuditEventInput } from '../audit/event.ts';
import type { Verification } from './branch-follower.ts';
import { type OperationFacts, operatorEvent } from './operation-events.ts';

/** Who vouches for an operation: for the audit event's detail. */
export function signedBy(verification: Verification | undefined): Record<string, string> {
  if (verification === undefined) return {};
  const { deployed, signers, trusted } = verification;
  const signer = signers.get(deployed);
  if (signer !== undefined) {
    return { signed_by: signer.principal, signing_key: signer.fingerprint };
  }
  return trusted.includes(deployed) ? { trusted_commit: deployed } : {};
}

/** What went on without a signature because the pod's flags say so: an event for each such commit. */
export function trustEvents(
  facts: OperationFacts,
  { tip, trusted, takenAsIs }: Verification,
): AuditEventInput[] {
  const events = trusted.map((commit) => ({
    message: `--trust-commit lets ${commit} pass`,
    detail: { commit, tip },
  }));
  if (takenAsIs !== undefined) {
    const message = `signatures are verified from now on; ${takenAsIs} is taken as it is`;
    events.push({ message, detail: { commit: takenAsIs, tip } });
  }
  return events.map((said) => operatorEvent(facts, { alias: null, version: null, ...said }));
}
