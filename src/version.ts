declare const __RINGLOCK_VERSION__: string | undefined;

/** The version of this program; `0.0.0-source` when it is run from its sources. */
export const version: string =
  typeof __RINGLOCK_VERSION__ === 'string' ? __RINGLOCK_VERSION__ : '0.0.0-source';
