import { parseRetryAfter } from '../git/http-failures.ts';
import type { Answer, Verdict } from './receiver.ts';

/** What to do about a final refusal, by HTTP status; `other` for those not named. */
export type Hints = Readonly<Record<number, string>> & { readonly other: string };

/**
 * What an answer means by HTTP's own rules: 2xx is delivered; 408, 425, 429 and 5xx are tried again, as
 * late as `Retry-After` says; anything else is final.
 */
export function judgeByStatus({ status, headers, text }: Answer, hints: Hints): Verdict {
  if (status >= 200 && status <= 299) return { outcome: 'delivered' };
  const reason = `it answers ${status}${text === '' ? '' : `: ${text}`}`;
  if (status >= 500 || [408, 425, 429].includes(status)) {
    return {
      outcome: 'again',
      reason,
      afterMs: parseRetryAfter(headers['retry-after'], Date.now()),
    };
  }
  if (status >= 300 && status <= 399) {
    return { outcome: 'refused', reason, hint: 'Redirects are not followed: give the final URL.' };
  }
  return { outcome: 'refused', reason, hint: hints[status] ?? hints.other };
}
