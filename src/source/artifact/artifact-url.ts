import { badInput } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import { isLoopback } from '../../wire/loopback.ts';

/**
 * @throws RinglockError `insecure-url` for http:// to another machine, `unsupported-url`,
 *   `credentials-in-url`
 */
export function parseArtifactUrl(text: string): URL {
  const display = redactUrl(text);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^(https?|file):$/.test(url.protocol)) {
    throw badInput(
      'unsupported-url',
      `${JSON.stringify(display)} is no address of an artifact, expected https://… or file:///…`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw badInput('credentials-in-url', `${display} has credentials in a committed file`, {
      hint: 'Take them out of the lock, revoke them, and set MODULE_REGISTRY_TOKEN.',
    });
  }
  requireSecure(url);
  return url;
}

/** @throws RinglockError `insecure-url` */
function requireSecure(url: URL): void {
  if (url.protocol !== 'http:' || isLoopback(url.hostname)) return;
  throw badInput(
    'insecure-url',
    `${redactUrl(url.href)} is plain http: what comes from it can be read and changed on the way`,
    { hint: 'Use https://; plain http:// is for loopback addresses only.' },
  );
}
