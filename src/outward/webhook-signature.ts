import { createHmac } from 'node:crypto';
import { badInput } from '../errors.ts';

/** The variable that the keys come from, also as `_FILE`. */
export const signingSecretName = 'RINGLOCK_WEBHOOK_SIGNING_SECRET';

/**
 * The headers that authenticate a webhook, as Standard Webhooks 1.0.0 has them ("Signature scheme"):
 * HMAC-SHA256 over `id.timestamp.body`. With several keys there are several signatures, so that a key
 * can be replaced while receivers still have the one before.
 *
 * @param id must have no full stop in it
 * @param seconds since 1970, of this attempt: receivers refuse what is older than some minutes
 * @param keys of signingKeys()
 */
export function signatureHeaders(
  id: string,
  seconds: number,
  body: string,
  keys: readonly Buffer[],
): Readonly<Record<string, string>> {
  const signed = `${id}.${seconds}.${body}`;
  const signatures = keys.map(
    (key) => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
  );
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': signatures.join(' '),
  };
}

/**
 * The keys of a secret: `whsec_` (or nothing) and base64 of 24 to 64 bytes; of several with white space
 * between, each signs.
 *
 * @throws RinglockError `webhook-secret-missing`, `webhook-secret-invalid`; the secret is not shown
 */
export function signingKeys(secret: string | undefined): Buffer[] {
  const texts = (secret ?? '').split(/\s+/).filter((text) => text !== '');
  if (texts.length === 0) {
    throw badInput(
      'webhook-secret-missing',
      `--webhook-url is given without ${signingSecretName}, and nobody could tell who sends`,
      { hint: makeOne },
    );
  }
  return texts.map((text) => {
    const encoded = text.replace(/^whsec_/, '');
    const key = Buffer.from(encoded, 'base64');
    const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded);
    if (isBase64 && key.length >= 24 && key.length <= 64) return key;
    throw badInput(
      'webhook-secret-invalid',
      `${signingSecretName} is ${isBase64 ? `base64 of ${key.length} bytes` : 'no base64'}, expected whsec_ and base64 of 24 to 64 bytes`,
      { hint: makeOne },
    );
  });
}

const makeOne =
  'Make one with: echo "whsec_$(openssl rand -base64 32)", and give it to the receiver too.';
