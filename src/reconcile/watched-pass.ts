import type { RootStatus } from '../store/status-file.ts';
import type { Log } from './log.ts';
import type { PassClock } from './pass-clock.ts';
import type { Tally } from './tally.ts';

interface WatchedParts {
  readonly status: { readonly current: RootStatus };
  readonly tally: Tally;
  readonly clock: PassClock;
}

/** A pass that is timed, and that says when the state is another one than before. */
export function watchedPass(
  pass: (signal: AbortSignal) => Promise<void>,
  { status, tally, clock }: WatchedParts,
  log: Log,
): (signal: AbortSignal) => Promise<void> {
  let said: RootStatus['state'] = 'starting';
  return async (signal) => {
    const since = performance.now();
    clock.began();
    await pass(signal);
    const ms = performance.now() - since;
    const { state, commit, converged_commit, generation } = status.current;
    tally.passes.observe({}, ms);
    tally.damage = tally.drift;
    const at = { commit: commit?.slice(0, 12), serves: converged_commit?.slice(0, 12), generation };
    log.debug('pass', { state, ms: Math.round(ms), ...at });
    // What stands still is said once: a log full of the same line hides the one that matters.
    if (state !== said) log[isWell(state) ? 'info' : 'warn'](`${said} → ${state}`, at);
    said = state;
  };
}

function isWell(state: RootStatus['state']): boolean {
  return state === 'converged' || state === 'suspended';
}
