import { maxUnavailable, type Policy } from '../../repo/settings.ts';

/** Where a replica stands in its ring's operation. */
export type ReplicaState =
  /** Staged, not switched. */
  | 'waiting'
  /** Between its switch and its verdict. */
  | 'turn'
  | 'healthy'
  | 'unhealthy'
  /** Switched, without a verdict of its own: nothing is asked, or it was unhealthy before. */
  | 'abstained'
  /** Back on the generation before. */
  | 'returned';

export interface ReplicaView {
  readonly replica: string;
  readonly state: ReplicaState;
  /** Whether it takes part in this operation; else what it says is of an earlier one. */
  readonly isJoined: boolean;
  /** Whether its session is alive. */
  readonly isPresent: boolean;
  /** Whether nothing was heard of it for so long that nobody waits for it. */
  readonly isGone: boolean;
}

export type OperationState = 'rolling' | 'committed' | 'reverting' | 'reverted' | 'superseded';

export interface OperationView {
  readonly state: OperationState;
  /** Replicas alive at its start. */
  readonly members: readonly string[];
  readonly replicas: readonly ReplicaView[];
  readonly ageMs: number;
  /** Goes back to what the ring ran before: nobody waits for waves. */
  readonly isReturn: boolean;
  readonly policy: Pick<Policy, 'rollout' | 'revertOn'>;
}

/** How long a member that is alive may take to join before its vote is not waited for any more. */
const joinGraceMs = 60_000;

/** How long a replica that was superseded in its turn may take to come into the next operation. */
const rejoinMs = 5_000;

export type Decision =
  | { readonly state: 'rolling' | 'committed' }
  | { readonly state: 'reverting'; readonly reason: string };

/**
 * What an operation that is rolling becomes (DESIGN section 6): reverting when its first wave is
 * unhealthy or a healthy majority of those alive has become impossible, committed when there is one.
 * Vanished replicas and those without a verdict abstain.
 */
export function decideOperation(view: OperationView): Decision {
  const voters = votersOf(view);
  const count = (state: ReplicaState) => voters.filter((voter) => voter.state === state).length;
  const unhealthy = count('unhealthy');
  const healthy = count('healthy');
  const { revertOn, rollout } = view.policy;
  if (revertOn !== 'never' && unhealthy > 0) {
    const passed = passedOf(view);
    if (revertOn === 'any') return reverting(`${unhealthy} of ${voters.length} is unhealthy`);
    if (passed + unhealthy <= rollout.first) return reverting('the first wave is unhealthy');
    const quorum = quorumOf(voters.length);
    if (unhealthy > voters.length - quorum) {
      return reverting(`${unhealthy} of ${voters.length} replicas are unhealthy`);
    }
  }
  const isOpen = voters.some(({ state }) => state === 'waiting' || state === 'turn');
  if (healthy >= quorumOf(voters.length)) return { state: 'committed' };
  return { state: isOpen ? 'rolling' : 'committed' };
}

/**
 * Whether a replica may switch now: the first wave alone, then as many at once as may be unavailable.
 * One that is between its switch and a verdict keeps its turn, also from an operation before.
 */
export function mayTakeTurn(view: OperationView, replica: string): boolean {
  if (view.isReturn) return true;
  const own = view.replicas.find((other) => other.replica === replica);
  if (own?.state === 'turn') return true;
  const passed = passedOf(view);
  const { first } = view.policy.rollout;
  const busy = busyOf(view, replica);
  if (view.state !== 'committed' && passed < first) return passed + busy < first;
  if (busy < maxUnavailable(view.policy.rollout, votersOf(view).length)) return true;
  // A replica that stays sick takes a place, and is no reason to stop: the rest goes one at a time.
  return busyOf(view, replica, ['turn']) === 0;
}

/** Whether no replica that takes part is on the operation's versions any more. */
export function haveAllReturned({ replicas }: Pick<OperationView, 'replicas'>): boolean {
  return replicas.every(
    ({ state, isJoined, isGone }) =>
      !isJoined || isGone || state === 'returned' || state === 'waiting',
  );
}

/** Whether every replica that is alive has gone through its turn: nobody is on the versions before. */
export function haveAllSettled({ replicas }: Pick<OperationView, 'replicas'>): boolean {
  return replicas.every(
    ({ state, isJoined, isGone }) =>
      isGone ||
      (isJoined && (state === 'healthy' || state === 'unhealthy' || state === 'abstained')),
  );
}

function reverting(reason: string): Decision {
  return { state: 'reverting', reason };
}

/** Members and whoever joined later, without those that are gone or abstain. */
function votersOf({ members, replicas, ageMs }: OperationView): ReplicaView[] {
  const absent = replicas
    .filter(({ replica, isJoined, isGone }) => members.includes(replica) && !isJoined && !isGone)
    .map((view): ReplicaView => ({ ...view, state: 'waiting' }));
  const awaited = ageMs < joinGraceMs ? absent : [];
  const joined = replicas.filter(
    ({ isJoined, isPresent, state }) => isJoined && isPresent && state !== 'abstained',
  );
  return [...joined, ...awaited];
}

function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

function passedOf({ replicas, policy }: OperationView): number {
  const states: ReplicaState[] = ['healthy', 'abstained'];
  // Where nothing is reverted, a verdict of either kind lets the next one go.
  if (policy.revertOn === 'never') states.push('unhealthy');
  return replicas.filter(({ isJoined, state }) => isJoined && states.includes(state)).length;
}

/** Others that are alive between switch and healthy, in whichever operation. */
function busyOf(
  view: OperationView,
  replica: string,
  states: readonly ReplicaState[] = view.state === 'committed' || view.policy.revertOn === 'never'
    ? ['turn']
    : ['turn', 'unhealthy'],
): number {
  const isBusy = (other: ReplicaView) =>
    other.isJoined
      ? other.isPresent && states.includes(other.state)
      : other.state === 'turn' && (other.isPresent || view.ageMs < rejoinMs);
  return view.replicas.filter((other) => other.replica !== replica && isBusy(other)).length;
}
