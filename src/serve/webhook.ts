import type { IncomingMessage } from 'node:http';
import type { Counts } from '../reconcile/counts.ts';
import type { Log } from '../reconcile/log.ts';
import { TokenBucket } from './token-bucket.ts';
import { largestBody, readBody, refOf } from './webhook-body.ts';
import { anyOf, proofsOf, type WebhookProof } from './webhook-proof.ts';

export interface WebhookOptions {
  /** Any of these is right; none: there is no webhook. Asked at every request. */
  readonly secrets: () => Promise<readonly string[]>;
  /** The branch that the ring follows: pushes to others mean nothing. */
  readonly branch: string;
  /** Has the ring look at its branch. */
  readonly look: () => void;
  readonly answers: Counts;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

export interface WebhookAnswer {
  readonly status: 200 | 202 | 400 | 401 | 404 | 413 | 429 | 503;
  /** One word of ours; undefined when there is nothing here. */
  readonly answer?: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Webhooks whose body is read: so many at once, and so many a second after that. */
const burst = 20;
const perSecond = 1;
/** Bodies read at the same time; times largestBody, the memory that strangers can take. */
const bodiesAtOnce = 8;
/** Refusals are logged so often, in ms: a flood of them must not fill the log. */
const warnEveryMs = 60_000;

/**
 * Answers webhooks: whoever shows the secret has the ring look at its branch now. A body is read only for
 * a sender that may be right, and of it nothing is believed but the branch, as a hint.
 */
export function webhookReceiver(
  options: WebhookOptions,
): (incoming: IncomingMessage) => Promise<WebhookAnswer> {
  const { answers, log } = options;
  const bucket = new TokenBucket(burst, perSecond);
  let reading = 0;
  let warnedAt = Number.NEGATIVE_INFINITY;

  const judge = async (incoming: IncomingMessage): Promise<WebhookAnswer> => {
    const secrets = await options.secrets();
    if (secrets.length === 0) return { status: 404, message: 'not found' };
    const proofs = proofsOf(incoming.headers, Date.now() / 1000);
    const early = proofs.find((proof) => !proof.needsBody && isRight(proof, secrets, nothing));
    const mayBeRight = early !== undefined || proofs.some(({ needsBody }) => needsBody);
    if (!mayBeRight) return unauthorized;
    const seconds = reading >= bodiesAtOnce ? 1 : bucket.take();
    if (seconds > 0) return limited(seconds);
    reading += 1;
    let body: Buffer | undefined;
    try {
      body = await readBody(incoming);
    } finally {
      reading -= 1;
    }
    if (body === undefined) return tooLarge;
    const proof = early ?? proofs.find((shown) => isRight(shown, secrets, body));
    if (proof === undefined) return unauthorized;
    return act(incoming, body, proof, options);
  };

  return async (incoming) => {
    const { headers, socket } = incoming;
    let why: string | undefined;
    const answer = await judge(incoming).catch((error: Error) => {
      why = error.message;
      return unavailable;
    });
    if (answer.answer === undefined) return answer;
    answers.add({ answer: answer.answer });
    if (answer.status >= 400 && performance.now() - warnedAt > warnEveryMs) {
      warnedAt = performance.now();
      log.warn(`a webhook was refused: ${why ?? answer.message}`, {
        status: answer.status,
        from: socket.remoteAddress,
        agent: headers['user-agent']?.slice(0, 100),
      });
    }
    return answer;
  };
}

const nothing = Buffer.alloc(0);

const unauthorized: WebhookAnswer = {
  status: 401,
  answer: 'unauthorized',
  message: 'no proof of the secret, or a wrong one',
};

const unavailable: WebhookAnswer = {
  status: 503,
  answer: 'unavailable',
  message: 'it cannot be judged now; the branch is looked at anyway',
};

const tooLarge: WebhookAnswer = {
  status: 413,
  answer: 'too-large',
  message: `the body is larger than ${largestBody} bytes`,
  headers: { connection: 'close' },
};

function limited(seconds: number): WebhookAnswer {
  return {
    status: 429,
    answer: 'limited',
    message: 'too many webhooks; the branch is looked at anyway',
    headers: { 'retry-after': String(Math.ceil(seconds)), connection: 'close' },
  };
}

function isRight(proof: WebhookProof, secrets: readonly string[], body: Buffer): boolean {
  return anyOf(secrets.map((secret) => proof.holds(secret, body)));
}

function act(
  { headers }: IncomingMessage,
  body: Buffer,
  { sender }: WebhookProof,
  { branch, look, log }: WebhookOptions,
): WebhookAnswer {
  const ref = refOf(body, headers['content-type']);
  if (ref === undefined) {
    const message = 'the body is not a JSON object of type application/json';
    return { status: 400, answer: 'invalid', message };
  }
  if (headers['x-github-event'] === 'ping') {
    return { status: 200, answer: 'ping', message: 'pong' };
  }
  const wanted = `refs/heads/${branch}`;
  if (ref !== null && ref !== wanted) {
    return { status: 202, answer: 'ignored', message: `the ring follows ${wanted}` };
  }
  log.info('a webhook asks to look at the branch', { sender });
  look();
  return { status: 202, answer: 'accepted', message: 'the branch is looked at' };
}
