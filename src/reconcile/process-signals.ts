import type { Log } from './log.ts';
import type { Trigger } from './watch.ts';

/**
 * SIGTERM and SIGINT end what runs, SIGHUP makes a pass now. A second SIGTERM changes nothing: what is
 * under way is being finished or dropped. A second SIGINT, a person's, waits for nothing: a root that is
 * left in the middle is put right at the next start.
 *
 * @returns what stops listening
 */
export function handleSignals(
  ending: AbortController,
  trigger: Pick<Trigger, 'fire'>,
  log: Log,
): () => void {
  const end = (signal: NodeJS.Signals) => {
    if (ending.signal.aborted && signal === 'SIGINT') process.exit(130);
    log.info(`${signal}: ending`);
    ending.abort();
  };
  const passNow = () => trigger.fire();
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', passNow);
  return () => process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', passNow);
}

/** Whoever read standard output and error may go away: a log that nobody reads ends no reconciler. */
export function outliveClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
