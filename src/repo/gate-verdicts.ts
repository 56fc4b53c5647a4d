import { freezeAt } from './freeze-window.ts';
import type { Gates } from './gates.ts';
import { longestSoak, type SoakHistory } from './soak.ts';

/** A version that is to come to a ring. */
export interface GatedVersion {
  readonly alias: string;
  readonly version: string;
  readonly sha256: string;
  /** The ring that it comes from. */
  readonly source: string;
}

/** What a gate says. `unjudged`: what it asks for cannot be known here; it counts as closed. */
export interface GateVerdict {
  readonly gate: 'soak' | 'health' | 'approvals' | 'freeze' | 'requires';
  /** Of a check, its name; else the gate's. */
  readonly name: string;
  readonly state: 'open' | 'closed' | 'unjudged';
  /** Why it is so, or what is missing. */
  readonly message: string;
  /** RFC 3339: when it opens by itself; null where that is not known, and of an open one. */
  readonly opens_at: string | null;
}

/** Something that could not be learnt, and why. */
export interface Unknown {
  readonly unknown: string;
}

/** What is known for the gates of one version. */
export interface GateFacts {
  readonly source: SourceFacts | Unknown;
  readonly approvals: ApprovalFacts | Unknown;
  /** One for each of the gates' checks, in their order. */
  readonly checks: readonly CheckFacts[];
}

export interface SourceFacts {
  readonly history: SoakHistory;
  /** Whether the source ring pins the version now. */
  readonly isPinned: boolean;
  /** Why the ring keeps it out after it failed; undefined when it does not. */
  readonly failure: string | undefined;
  readonly replicas: readonly ReplicaFacts[];
}

export interface ReplicaFacts {
  readonly replica: string;
  readonly state: string;
  /** Alias → version. */
  readonly modules: Readonly<Record<string, string>>;
  readonly problem: string | null;
  /** When its reconciler last began after it had been killed; null for never. */
  readonly restartedAt: Date | null;
}

export interface ApprovalFacts {
  /** Approvers by their name in the gates, each with a key of its own. */
  readonly by: readonly { readonly approver: string; readonly isAuthor: boolean }[];
  /** What looks like an approval and does not count, in sentences. */
  readonly ignored: readonly string[];
}

export interface CheckFacts {
  readonly state: GateVerdict['state'];
  readonly message: string;
}

/** What every gate of a ring says of a version; empty for a ring without gates. */
export function judgeGates(
  gates: Gates,
  version: GatedVersion,
  facts: GateFacts,
  now: Date,
): GateVerdict[] {
  return [
    ...soakVerdicts(gates, version, facts.source, now),
    ...approvalVerdicts(gates, facts.approvals),
    ...freezeVerdicts(gates, now),
    ...gates.requires.map(({ name }, index): GateVerdict => {
      const { state, message } = facts.checks[index] ?? { state: 'unjudged', message: 'not asked' };
      return { gate: 'requires', name, state, message, opens_at: null };
    }),
  ];
}

/** When all closed gates are open, as far as each knows; null when one does not. */
export function allOpenAt(verdicts: readonly GateVerdict[]): string | null {
  const closed = verdicts.filter(({ state }) => state !== 'open');
  const times = closed.flatMap(({ opens_at }) => opens_at ?? []);
  if (times.length < closed.length) return null;
  return times.sort().at(-1) ?? null;
}

/** Only a freeze concerns what brings no version: a removal, another platform. */
export function freezeVerdicts({ freeze }: Gates, now: Date): GateVerdict[] {
  if (freeze.length === 0) return [];
  const held = freezeAt(freeze, now.getTime());
  if (held === undefined) return [open('freeze', 'no freeze now')];
  const { window, opensAt } = held;
  const why = window.reason === undefined ? '' : `: ${window.reason}`;
  return [closed('freeze', `frozen from ${window.text}${why}`, opensAt)];
}

function soakVerdicts(
  { soakMs, soak }: Gates,
  version: GatedVersion,
  facts: SourceFacts | Unknown,
  now: Date,
): GateVerdict[] {
  if (soakMs === undefined) return [];
  if ('unknown' in facts) {
    return [unjudged('soak', facts.unknown), unjudged('health', facts.unknown)];
  }
  return [
    soakVerdict(soakMs, soak ?? '', version, facts, now),
    healthVerdict(soakMs, soak ?? '', version, facts, now),
  ];
}

function soakVerdict(
  neededMs: number,
  needed: string,
  { source }: GatedVersion,
  { history, isPinned }: SourceFacts,
  now: Date,
): GateVerdict {
  const soak = longestSoak(history, now.getTime(), isPinned);
  if (soak === undefined) {
    const { failedAt } = history;
    const why =
      failedAt === undefined
        ? `no replica of ${source} has been found well with it`
        : `it failed in ${source} at ${timeOf(failedAt)}, and has not been well there since`;
    return closed('soak', `0s of ${needed}: ${why}`);
  }
  const { ms, begin, isRunning } = soak;
  const done = `${spanOf(ms)} in ${source} since ${timeOf(begin)}`;
  if (ms >= neededMs) return open('soak', `soaked ${done}`);
  const running = runningSoak(history);
  if (!isPinned || running === undefined) {
    return closed(
      'soak',
      `${spanOf(ms)} of ${needed} in ${source}, and it is not running there now`,
    );
  }
  const message = isRunning
    ? `soaked ${done}, ${needed} are needed`
    : `soaked at most ${done}, ${needed} are needed`;
  return closed('soak', message, running + neededMs);
}

function runningSoak({ soaks }: SoakHistory): number | undefined {
  return soaks.find(({ end }) => end === undefined)?.begin;
}

/** What was killed has to stay up as long as a version has to soak, from then on. */
function healthVerdict(
  neededMs: number,
  needed: string,
  { alias, version, source }: GatedVersion,
  { failure, isPinned, replicas, history }: SourceFacts,
  now: Date,
): GateVerdict {
  if (failure !== undefined) return closed('health', `it failed in ${source}: ${failure}`);
  if (!isPinned) return open('health', `${source} went on from it without a failure`);
  if (replicas.length === 0) {
    return closed('health', `no replica of ${source} was heard of in the last 15 minutes`);
  }
  const sick = replicas.flatMap(({ replica, state, modules, problem }) => {
    const serves = modules[alias];
    if (serves !== version) return [`${replica} serves ${serves ?? 'none'}`];
    // Held: some other version is kept out there.
    if (state === 'converged' || state === 'held') return [];
    return [`${replica} is ${state}${problem === null ? '' : ` (${problem})`}`];
  });
  if (sick.length > 0) return closed('health', `in ${source} ${sick.join(', ')}`);
  const began = runningSoak(history) ?? 0;
  const restarted = replicas
    .map(({ replica, restartedAt }) => ({ replica, at: restartedAt?.getTime() ?? 0 }))
    .filter(({ at }) => at > began && at + neededMs > now.getTime())
    .sort((a, b) => b.at - a.at);
  const [last] = restarted;
  if (last !== undefined) {
    const names = restarted.map(({ replica }) => replica).join(', ');
    const message = `in ${source} ${names} was killed and began again at ${timeOf(last.at)}, ${needed} without are needed`;
    return closed('health', message, last.at + neededMs);
  }
  const count = replicas.length === 1 ? 'the replica' : `all ${replicas.length} replicas`;
  return open('health', `${count} of ${source} converged with it`);
}

function approvalVerdicts(
  { approvals: needed, approvers }: Gates,
  facts: ApprovalFacts | Unknown,
): GateVerdict[] {
  if (needed === 0) return [];
  if ('unknown' in facts) return [unjudged('approvals', facts.unknown)];
  const { by, ignored } = facts;
  const names = by.map(({ approver }) => approver);
  const isByOthers = by.some(({ isAuthor }) => !isAuthor);
  if (by.length >= needed && isByOthers) {
    return [open('approvals', `approved by ${names.join(', ')}`)];
  }
  const missing = approvers.filter((approver) => !names.includes(approver));
  const have = names.length === 0 ? 'none yet' : `by ${names.join(', ')}`;
  const alone =
    by.length >= needed ? '; who promotes does not approve alone, another one has to' : '';
  const message = [
    `${by.length} of ${needed} approvals, ${have}${alone}; may approve: ${missing.join(', ')}`,
    ...ignored,
  ];
  return [closed('approvals', message.join('; '))];
}

function open(gate: GateVerdict['gate'], message: string): GateVerdict {
  return { gate, name: gate, state: 'open', message: oneLine(message), opens_at: null };
}

function closed(gate: GateVerdict['gate'], message: string, opensAt?: number): GateVerdict {
  const opens_at = opensAt === undefined ? null : timeOf(opensAt);
  return { gate, name: gate, state: 'closed', message: oneLine(message), opens_at };
}

function unjudged(gate: GateVerdict['gate'], message: string): GateVerdict {
  return { gate, name: gate, state: 'unjudged', message: oneLine(message), opens_at: null };
}

/** Reasons are whatever a file or a database has: in a list of gates each is a line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** RFC 3339 in whole seconds: a gate that opens at .4 is open one later. */
function timeOf(at: number): string {
  return new Date(Math.ceil(at / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

/** `26h`, `3h 5m`, `40s`: rounded down, in the two largest units. */
function spanOf(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const;
  let rest = ms;
  const parts = units.map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return { unit, count };
  });
  const first = parts.findIndex(({ count }) => count > 0);
  if (first === -1) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(({ count }) => count > 0)
    .map(({ unit, count }) => `${count}${unit}`)
    .join(' ');
}
