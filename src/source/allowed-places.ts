import { type RinglockError, refused } from '../errors.ts';
import { redactUrl } from '../redaction.ts';

/** Whether a lock may have a pod ask a URL. */
export type IsAllowed = (url: string) => boolean;

/**
 * A lock names packages and mirrors, and whoever may push writes locks: a pod asks only where its own
 * flags and environment lead, so that nobody else aims it at what it alone can reach.
 *
 * @param places URLs: an https, http or ssh one allows all of its scheme, host and port, a file one what is
 *   below its path; what is no URL allows nothing
 */
export function allowPlaces(places: readonly string[]): IsAllowed {
  const urls = places.filter((place) => URL.canParse(place)).map((place) => new URL(place));
  return (text) => {
    if (!URL.canParse(text)) return false;
    const url = new URL(text);
    return urls.some((place) => {
      if (place.protocol !== url.protocol || place.host !== url.host) return false;
      const isBelow = url.pathname.startsWith(`${place.pathname.replace(/\/+$/, '')}/`);
      return url.protocol !== 'file:' || isBelow;
    });
  };
}

export function notAllowed(url: string): RinglockError {
  return refused('place-not-allowed', `${redactUrl(url)} is named by the lock, not by this pod`, {
    hint: 'If modules may come from there, add it to RINGLOCK_MODULE_PLACES (URLs, separated by blanks).',
  });
}
