import { type RinglockError, refused } from '../errors.ts';

/**
 * The most that a repository may cost the machine that reads it. A repository does not set its own
 * limits: a pod's come from its flags. All are bytes.
 */
export interface Limits {
  /** One pack, as a server sends it. */
  readonly fetch: number;
  /** One file of a module, or any other object of git. It is held in memory whole. */
  readonly file: number;
  /** All files of one module. */
  readonly module: number;
  /** All modules that one commit installs anew. */
  readonly install: number;
}

const mebibyte = 1024 * 1024;

export const defaultLimits: Limits = {
  fetch: 1024 * mebibyte,
  file: 64 * mebibyte,
  module: 1024 * mebibyte,
  install: 8192 * mebibyte,
};

/** The flag of `reconcile` that raises a limit. */
const flags: Readonly<Record<keyof Limits, string>> = {
  fetch: '--max-fetch',
  file: '--max-file',
  module: '--max-module',
  install: '--max-install',
};

/**
 * The error for what is over a limit that a pod's flag sets.
 *
 * @param what is over it, with a verb: `a pack has`
 * @param times the limit may be passed so many times
 */
export function overLimit(
  limit: keyof Limits,
  limits: Limits,
  what: string,
  times = 1,
): RinglockError {
  return refused('limit-exceeded', `${what} more than ${showBytes(limits[limit] * times)}`, {
    hint: `If that is as it should be, raise ${flags[limit]} of the reconciler.`,
    details: { limit, bytes: limits[limit] },
  });
}

/** The error for what is over a limit that nothing sets. */
export function overFixedLimit(what: string, hint?: string): RinglockError {
  return refused('limit-exceeded', what, hint === undefined ? {} : { hint });
}

/** `64 MiB`, or plain bytes where they are no whole unit. */
function showBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${units[unit]}`;
}
