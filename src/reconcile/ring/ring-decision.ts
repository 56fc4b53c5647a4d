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

/** How long a member may take to join before it counts as gone. */
const joinGraceMs = 15_000;

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
  const joined = view.replicas.filter(({ isJoined }) => isJoined);
  const count = (state: ReplicaState) => voters.filter((voter) => voter.state === state).length;
  const unhealthy = count('unhealthy');
  const healthy = count('healthy');
  const { revertOn, rollout } = view.policy;
  if (revertOn !== 'never' && unhealthy > 0) {
    const passed = passedOf(joined);
    if (revertOn === 'any') return reverting(`${unhealthy} of ${voters.length} is unhealthy`);
    if (passed + unhealthy <= rollout.first) return reverting('the first wave is unhealthy');
    const quorum = quorumOf(voters.length);
    if (unhealthy > voters.length - quorum) {
      return reverting(`${unhealthy} of ${voters.length} replicas are unhealthy`);
    }
    if (isStuck(view, voters.length)) {
      return reverting(`${unhealthy} unhealthy replicas leave no room for another wave`);
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
  const passed = passedOf(view.replicas.filter(({ isJoined }) => isJoined));
  const { first } = view.policy.rollout;
  const busy = busyOf(view, replica);
  if (view.state !== 'committed' && passed < first) return passed + busy < first;
  return busy < maxUnavailable(view.policy.rollout, votersOf(view).length);
}

/** Whether no replica that takes part is on the operation's versions any more. */
export function haveAllReturned({ replicas }: Pick<OperationView, 'replicas'>): boolean {
  return replicas.every(
    ({ state, isJoined }) => !isJoined || state === 'returned' || state === 'waiting',
  );
}

/** Whether every replica that is alive has gone through its turn: nobody is on the versions before. */
export function haveAllSettled({ replicas, members, ageMs }: OperationView): boolean {
  const joined = replicas.filter(({ isJoined }) => isJoined).map(({ replica }) => replica);
  const awaited = ageMs < joinGraceMs && members.some((member) => !joined.includes(member));
  const isOpen = replicas.some(
    ({ state, isJoined, isPresent }) =>
      isPresent && (!isJoined || state === 'waiting' || state === 'turn'),
  );
  return !awaited && !isOpen;
}

function reverting(reason: string): Decision {
  return { state: 'reverting', reason };
}

/** Members and whoever joined later, without those that are gone or abstain. */
function votersOf({ members, replicas, ageMs }: OperationView): ReplicaView[] {
  const known = new Map(replicas.map((view) => [view.replica, view]));
  const absent = members
    .filter((member) => known.get(member)?.isJoined !== true)
    .map((replica): ReplicaView => {
      return { replica, state: 'waiting', isJoined: false, isPresent: false };
    });
  const awaited = ageMs < joinGraceMs ? absent : [];
  const joined = replicas.filter(
    ({ isJoined, isPresent, state }) => isJoined && isPresent && state !== 'abstained',
  );
  return [...joined, ...awaited];
}

function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

function passedOf(joined: readonly ReplicaView[]): number {
  return joined.filter(({ state }) => state === 'healthy' || state === 'abstained').length;
}

/** Others that are alive between switch and healthy, in whichever operation. */
function busyOf(view: OperationView, replica: string | undefined): number {
  const states: readonly ReplicaState[] =
    view.state === 'committed' ? ['turn'] : ['turn', 'unhealthy'];
  return view.replicas.filter(
    (other) =>
      other.replica !== replica &&
      other.isPresent &&
      states.includes(other.state) &&
      (other.isJoined || other.state === 'turn'),
  ).length;
}

/** No replica has a turn, some wait, and those that are unhealthy fill all places. */
function isStuck(view: OperationView, voters: number): boolean {
  const present = view.replicas.filter(({ isJoined, isPresent }) => isJoined && isPresent);
  if (present.some(({ state }) => state === 'turn')) return false;
  if (!present.some(({ state }) => state === 'waiting')) return false;
  return busyOf(view, undefined) >= maxUnavailable(view.policy.rollout, voters);
}
