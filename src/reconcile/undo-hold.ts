import { RinglockError } from '../errors.ts';
import { isRootOwned } from '../store/owner.ts';
import { readStatus } from '../store/status-file.ts';
import { askReconciler } from './ask-operators.ts';
import type { Log } from './log.ts';
import { openReconciler, type ReconcileOptions } from './open-reconciler.ts';
import {
  fileRequest,
  isTaken,
  type OperatorRequest,
  type RequestFile,
  withdrawRequest,
} from './operator-requests.ts';

interface HeldModule {
  readonly root: string;
  readonly alias: string;
  /** How long a running reconciler may take to hear of it, in ms. */
  readonly takenWithinMs?: number;
}

/**
 * Brings back what a module was held at before a request, also for the ring's other replicas. One that nobody
 * has taken is only withdrawn. A reconciler that runs there is asked; where none does, the root is opened for
 * this alone, without a pass.
 *
 * @param options of a reconciler for the root, asked only where none runs
 * @throws RinglockError `request-not-taken`, and what openReconciler() throws
 */
export async function undoHold(
  { root, alias, takenWithinMs }: HeldModule,
  filed: RequestFile,
  options: () => Promise<Omit<ReconcileOptions, 'nextLook'>>,
  log: Log,
): Promise<void> {
  if (await withdrawRequest(filed)) return;
  const request: OperatorRequest = { kind: 'undo', alias, request: filed.id };
  if (await isRootOwned(root)) {
    await askReconciler(root, request, takenWithinMs);
    return;
  }
  const undo = await fileRequest(root, request);
  try {
    await takeAlone(root, await options(), log);
  } catch (error) {
    // One that was started since we looked takes it at its start.
    if (!(error instanceof RinglockError && error.code === 'root-owned')) throw error;
    if (isTaken(undo) || !(await withdrawRequest(undo))) return;
    await askReconciler(root, request, takenWithinMs);
  }
}

async function takeAlone(
  root: string,
  options: Omit<ReconcileOptions, 'nextLook'>,
  log: Log,
): Promise<void> {
  const opened = await openReconciler({ ...options, nextLook: undefined }, log);
  try {
    await opened.reconciler.takeRequests();
    const status = await readStatus(root);
    const { holds = {} } = opened.status.current;
    // The state that the pass ended in stays: this was none.
    if (status !== undefined) await opened.root.writeStatus({ ...status, holds });
  } finally {
    await opened.close();
  }
}
