import { createHash } from 'node:crypto';
import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import { judgeByStatus } from './judge-answer.ts';
import type { Message } from './message.ts';
import type { Receiver } from './receiver.ts';
import { parseReceiverUrl } from './receiver-url.ts';
import { signatureHeaders, signingKeys, signingSecretName } from './webhook-signature.ts';

/**
 * A webhook: every message but `converging` as JSON, signed as Standard Webhooks has it.
 *
 * @param text its URL, whose path and query may be secret themselves
 * @throws RinglockError `invalid-webhook-url`, `insecure-url`
 */
export function webhookReceiver(text: string, environment: NodeJS.ProcessEnv): Receiver {
  const url = parseReceiverUrl(text, '--webhook-url', 'invalid-webhook-url');
  if (url.username !== '' || url.password !== '') {
    throw badInput('invalid-webhook-url', `--webhook-url ${url.origin}/… has a user or password`, {
      hint: `Receivers know the sender by its signature (${signingSecretName}).`,
    });
  }
  return {
    id: `webhook ${createHash('sha256').update(url.href).digest('hex').slice(0, 12)}`,
    display: `the webhook at ${url.origin}`,
    isLastWord: false,
    wants: ({ event }) => event !== 'converging',
    judge: (answer) => judgeByStatus(answer, hints),
    request: async (message) => {
      const secret = await readSecret(signingSecretName, environment);
      const body = webhookBody(message);
      const seconds = Math.floor(Date.now() / 1000);
      return {
        url: url.href,
        headers: {
          'content-type': 'application/json; charset=utf-8',
          ...signatureHeaders(message.id, seconds, body, signingKeys(secret)),
        },
        body,
        secrets: (secret ?? '').split(/\s+/),
        hidden: secretParts(url),
      };
    },
  };
}

/** The same bytes in every attempt. */
function webhookBody({ id, event, time, data }: Message): string {
  return JSON.stringify({ id, type: event, timestamp: time, data });
}

/** An answer may repeat the address, and in an address a token may stand. */
function secretParts({ pathname, search }: URL): string[] {
  return [`${pathname}${search}`, ...pathname.split('/'), search.slice(1)].filter(
    (part) => part.length >= 8,
  );
}

const hints = {
  401: `Give the receiver the secret of ${signingSecretName}, and check its clock.`,
  403: `Give the receiver the secret of ${signingSecretName}, and check its clock.`,
  404: 'Check --webhook-url.',
  410: 'The receiver wants no more of it: take its --webhook-url away.',
  other: "The receiver's log says why.",
};
