import type { Traffic } from '../git/transport.ts';
import type { Backlog } from '../outward/receiver.ts';
import { Counts, Durations } from './counts.ts';

/** What an operation was for. */
export type OperationKind =
  /** Other versions than before. */
  | 'deploy'
  /** Only what had drifted is put back. */
  | 'repair'
  /** One that was cut off goes on. */
  | 'resume';

export type OperationOutcome =
  | 'committed'
  | 'reverted'
  | 'failed'
  /** A newer commit, a person or the end of the process came between. */
  | 'stopped';

export interface RunningOperation {
  readonly id: string;
  readonly kind: OperationKind;
  /** RFC 3339, UTC. */
  readonly since: string;
}

const kinds: readonly OperationKind[] = ['deploy', 'repair', 'resume'];
const outcomes: readonly OperationOutcome[] = ['committed', 'reverted', 'failed', 'stopped'];
const actions = ['install', 'upgrade', 'downgrade', 'repair', 'remove'];
const webhookAnswers = [
  ...[
    'accepted',
    'ignored',
    'ping',
    'unauthorized',
    'invalid',
    'too-large',
    'limited',
    'unavailable',
  ],
];

/** A tick takes some ms, an operation with migrations and waves may take an hour. */
const secondsOfWork = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600];
const secondsOfRequests = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What one process counts of its work, kept as plain numbers; `/metrics` makes text of it when asked. */
export class Tally {
  readonly operations = new Counts(
    kinds.flatMap((kind) => outcomes.map((outcome) => ({ kind, outcome }))),
  );
  /** Steps of committed operations. */
  readonly steps = new Counts(actions.map((action) => ({ action })));
  /** Failures of passes and of what goes on beside them, by RinglockError's code. */
  readonly failures = new Counts();
  readonly webhooks = new Counts(webhookAnswers.map((answer) => ({ answer })));
  readonly passes = new Durations([0.01, 0.025, ...secondsOfWork]);
  readonly requests = new Durations(secondsOfRequests);
  readonly phases = new Durations(secondsOfWork);
  readonly operationTimes = new Durations(secondsOfWork);
  /** With the git server. */
  readonly traffic: Traffic = { requests: 0, bytes: 0 };
  /** Alias (or `.`) → how it differs on disk, found and not yet put back. */
  drift: ReadonlyMap<string, string> = new Map();
  /** The same, when the last pass that ended had not put it back. */
  damage: ReadonlyMap<string, string> = new Map();
  running: RunningOperation | undefined;
  /** Asked when it is to be shown; empty where nobody is told anything. */
  backlogs: () => readonly Backlog[] = () => [];
  /** Milliseconds since 1970 when a pass last left the root as the branch's lock says. */
  lastSync: number | undefined;
  /** Milliseconds since 1970. */
  readonly startedAt = performance.timeOrigin;
}
