import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** How long a signed webhook may have been under way, either way round since clocks differ, in seconds. */
const toleranceSeconds = 300;

/** What a request shows of the secret. */
export interface WebhookProof {
  /** Which sender does it so: for the log. */
  readonly sender: 'github' | 'gitea' | 'gitlab' | 'gitlab-signed' | 'bearer';
  /** Whether the body is needed to judge it. */
  readonly needsBody: boolean;
  holds(secret: string, body: Buffer): boolean;
}

/**
 * The proofs that a request carries, strongest first; one that holds suffices. Header names and
 * constructions are those of the forges' documentation: GitHub's X-Hub-Signature-256, Gitea's and
 * Forgejo's X-Gitea-Signature, GitLab's X-Gitlab-Token, GitLab's signing token (the Standard Webhooks
 * specification), and a plain bearer token.
 *
 * @param nowSeconds Unix time
 */
export function proofsOf(headers: IncomingHttpHeaders, nowSeconds: number): WebhookProof[] {
  const header = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const signature = (sender: WebhookProof['sender'], found: string | undefined): WebhookProof[] =>
    found === undefined
      ? []
      : [
          {
            sender,
            needsBody: true,
            holds: (secret, body) => isSame(found, hmacHex(secret, body)),
          },
        ];
  const token = (sender: WebhookProof['sender'], found: string | undefined): WebhookProof[] =>
    found === undefined
      ? []
      : [{ sender, needsBody: false, holds: (secret) => isSame(found, secret) }];
  return [
    ...standardWebhook(header, nowSeconds),
    ...signature('github', /^sha256=(.*)$/.exec(header('x-hub-signature-256') ?? '')?.[1]),
    ...signature('gitea', header('x-gitea-signature') ?? header('x-forgejo-signature')),
    ...token('gitlab', header('x-gitlab-token')),
    ...token('bearer', /^Bearer +(.+)$/i.exec(header('authorization') ?? '')?.[1]),
  ];
}

/** `webhook-signature: v1,<base64> …` over `<webhook-id>.<webhook-timestamp>.<body>`. */
function standardWebhook(
  header: (name: string) => string | undefined,
  nowSeconds: number,
): WebhookProof[] {
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const signatures = (header('webhook-signature') ?? '').split(' ').flatMap((part) => {
    return /^v1,(.+)$/.exec(part)?.[1] ?? [];
  });
  if (id === undefined || timestamp === undefined || signatures.length === 0) return [];
  // Somebody who recorded one must not be able to send it for ever.
  if (!(Math.abs(nowSeconds - Number(timestamp)) <= toleranceSeconds)) return [];
  const holds = (secret: string, body: Buffer) => {
    const hmac = createHmac('sha256', signingKey(secret));
    const expected = hmac.update(`${id}.${timestamp}.`).update(body).digest('base64');
    return anyOf(signatures.slice(0, 8).map((found) => isSame(found, expected)));
  };
  return [{ sender: 'gitlab-signed', needsBody: true, holds }];
}

/** `whsec_<base64>` stands for the bytes that it encodes. */
function signingKey(secret: string): Buffer {
  const encoded = /^whsec_(.+)$/.exec(secret)?.[1];
  return encoded === undefined ? Buffer.from(secret) : Buffer.from(encoded, 'base64');
}

function hmacHex(secret: string, body: Buffer): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

/** Takes the same time whatever differs, and whatever the length. */
function isSame(found: string, expected: string): boolean {
  return timingSafeEqual(sha256(found), sha256(expected));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Without stopping at the first. */
export function anyOf(answers: readonly boolean[]): boolean {
  return answers.includes(true);
}
