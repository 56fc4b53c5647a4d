import { badInput } from '../errors.ts';
import { isLoopback } from '../wire/loopback.ts';

/**
 * The URL of somebody to be told; it comes from the pod only, never from the repository, whose authors
 * could have the pod call whatever it reaches.
 *
 * @param flag for messages, as `--webhook-url`
 * @throws RinglockError `code` for what is no URL, `insecure-url` for http:// to another machine
 */
export function parseReceiverUrl(text: string, flag: string, code: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw badInput(
      code,
      `${flag} is no URL that begins with https://; it is not shown, since it may be secret`,
    );
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw badInput(
      'insecure-url',
      `${flag} ${url.origin} is plain http: what goes there can be read on the way`,
      { hint: 'Use https://; plain http:// is for loopback addresses only.' },
    );
  }
  url.hash = '';
  return url;
}
