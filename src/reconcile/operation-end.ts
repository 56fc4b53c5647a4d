import type { AuditLog } from '../audit/audit-log.ts';
import { environmentFailed, RinglockError } from '../errors.ts';
import type { Root } from '../store/root.ts';
import type { Application } from './application.ts';
import type { Log } from './log.ts';
import { commitChange, endRevert, type OpenChange } from './make-visible.ts';
import { type Outcome, type RingOperation, turnedBack } from './ring/ring-operation.ts';
import type { SchemaWork } from './schema-work.ts';

/** What the end of an operation works with, in the process that began it or in one that goes on. */
export interface EndParts {
  readonly root: Root;
  readonly audit: AuditLog;
  readonly application: Application;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Tells the application of what is current. */
  readonly notify: (signal: AbortSignal) => Promise<void>;
  readonly schema: (ring: RingOperation) => Promise<SchemaWork>;
}

/** First what the ring still has to do: a change that is open is gone on with after a kill. */
export async function endCommitted(
  parts: EndParts,
  ring: RingOperation,
  change: OpenChange | undefined,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  await leaveVersions(parts, ring, 'committed');
  if (change === undefined) return;
  await commitChange(parts.root, parts.audit, change, 'succeeded', detail);
}

/**
 * Ends what went back: the application is told, the ring hears of it, the schema follows. The change
 * stays open until then.
 *
 * @param ring undefined when it has gone on to something else meanwhile
 * @returns what to throw: `turned-back`, or `degraded` when it is not well on the versions before either
 */
export async function endReverted(
  parts: EndParts,
  ring: RingOperation | undefined,
  change: OpenChange | undefined,
  reason: string,
): Promise<RinglockError> {
  const isWell = change === undefined || (await isWellAgain(parts));
  await ring?.returned();
  if (ring !== undefined) await leaveVersions(parts, ring, 'reverting');
  if (change !== undefined) await endRevert(parts.root, change);
  if (isWell) return turnedBack(reason);
  return environmentFailed(
    'degraded',
    `the ring turned back (${reason}), and the application is not healthy on the versions before either`,
    { hint: 'Look at the application: nothing is changed before a new commit comes.' },
  );
}

async function isWellAgain({ application, log, notify, signal }: EndParts): Promise<boolean> {
  try {
    await notify(signal);
    return (await application.gate('healthy', signal)).state === 'healthy';
  } catch (error) {
    signal.throwIfAborted();
    log.error(`after the revert: ${error instanceof Error ? error.message : error}`);
    return false;
  }
}

/**
 * The schema follows once nobody is on the versions that were left. What cannot follow is told and
 * stays; what fails because of the database or the disk is tried again, since the change stays open.
 */
export async function leaveVersions(
  parts: EndParts,
  ring: RingOperation,
  after: Outcome,
): Promise<void> {
  try {
    const { undo, down } = await parts.schema(ring);
    const work = after === 'committed' ? down : undo;
    await ring.whenAllLeft(after, work?.(ring.id) ?? nothing);
  } catch (error) {
    if (!(error instanceof RinglockError) || error.exitCode === 3) throw error;
    parts.log.error(`the schema stays as it is: ${error.message}`);
  }
}

/** Work that has nothing to do still says that the operation is over. */
const nothing = { key: 'end', idempotent: true, run: async () => 'nothing to do' };
