import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type DeliverySchedule, usualSchedule } from '../../src/outward/courier.ts';
import { Outward, type OutwardParts } from '../../src/outward/outward.ts';
import type { Backlog, Receiver } from '../../src/outward/receiver.ts';
import { textLog } from '../../src/reconcile/log.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { Connections } from '../../src/wire/connections.ts';
import { onEnd } from '../support/cleanup.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import type { Received } from './stand-in.ts';

export const signingSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

export const commitOf = (letter: string) => letter.repeat(40);

/** The status of a root of ring `edge` that serves a commit. */
export function convergedAt(commit: string, change: Partial<RootStatus> = {}): RootStatus {
  return {
    ring: 'edge',
    replica: 'pod-1',
    state: 'converged',
    repository: 'https://git.example.com/acme/platform.git',
    branch: 'main',
    commit,
    converged_commit: commit,
    generation: 1,
    lock_digest: `sha256:${commit}`,
    modules: {},
    last_error: null,
    observed_at: null,
    converged_at: null,
    outbox_pending: null,
    ringlock_version: '0.1.0',
    ...change,
  };
}

export function refusedAt(commit: string, message = 'orders needs platform ^3.0.0'): RootStatus {
  const last_error = { code: 'incompatible', message, at: '2026-01-01T00:00:00.000Z' };
  return convergedAt(commitOf('0'), { state: 'refused', commit, last_error });
}

/** What tells the outside of a root whose status the test sets. */
export interface Teller {
  readonly root: string;
  /** Sets the status and waits until it is told, or has to wait. */
  tell(status: RootStatus): Promise<void>;
  settled(): Promise<void>;
  backlogs(): readonly Backlog[];
  log(): string;
  /** The file of the queue, as it stands. */
  kept(): string;
  close(): Promise<void>;
}

export interface TellerOptions extends Partial<Pick<OutwardParts, 'withClient' | 'now'>> {
  readonly root?: string;
  readonly replica?: string;
  readonly schedule?: Partial<DeliverySchedule>;
}

/** Milliseconds between attempts, so that a test need not wait. */
const quick: DeliverySchedule = { ...usualSchedule, firstPauseMs: 10 };

export async function startTeller(
  t: TestContext,
  receivers: readonly Receiver[],
  options: TellerOptions = {},
): Promise<Teller> {
  const root = options.root ?? temporaryDirectory(t, 'root');
  const replica = options.replica ?? 'pod-1';
  let status = convergedAt(commitOf('0'), { state: 'starting', replica });
  let log = '';
  const outward = await Outward.open({
    root,
    receivers,
    status: () => status,
    holds: () => [],
    commitFacts: async () => ({ author: 'Ada <ada@example.com>', subject: 'Orders 1.0.1' }),
    withClient: async () => undefined,
    connections: new Connections({ idleTimeoutMs: 2_000, caFile: undefined, environment: {} }),
    log: textLog({ write: (text) => (log += text) }),
    now: () => new Date(),
    ...options,
    schedule: { ...quick, ...options.schedule },
  });
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= outward.close();
    return closed;
  };
  onEnd(t, close);
  outward.look();
  const settled = () => outward.settled(20_000);
  return {
    ...{ root, settled, close },
    backlogs: () => outward.backlogs,
    tell: async (next) => {
      await settled();
      status = { ...next, replica };
      outward.look();
      await settled();
    },
    log: () => log,
    kept: () => readFileSync(join(root, 'outward.json'), 'utf8'),
  };
}

/** Verifies a webhook as a receiver does that knows only the standard; its payload. */
export function verified({ headers, body }: Received, secret = signingSecret): Payload {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const { 'webhook-id': id, 'webhook-timestamp': time } = headers;
  const expected = createHmac('sha256', key).update(`${id}.${time}.${body}`).digest();
  const isSigned = String(headers['webhook-signature'])
    .split(' ')
    .map((signature) => Buffer.from(signature.replace('v1,', ''), 'base64'))
    .some((found) => found.length === expected.length && timingSafeEqual(found, expected));
  if (!isSigned) throw new Error('the signature does not match');
  if (Math.abs(Date.now() / 1000 - Number(time)) > 300) throw new Error('the timestamp is too old');
  const payload = JSON.parse(body);
  if (payload.id !== id) throw new Error(`webhook-id is ${id}, the payload says ${payload.id}`);
  return payload;
}

export interface Payload {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: a receiver reads what came
  readonly data: any;
}
