import { redactLine } from '../redaction.ts';
import type { Message } from './message.ts';
import type { NewsEvent } from './news.ts';

/** What a commit's status is about. */
export type CommitState = 'running' | 'success' | 'failure' | 'error';

const states: Readonly<Partial<Record<NewsEvent, CommitState>>> = {
  converging: 'running',
  converged: 'success',
  recovered: 'success',
  held: 'failure',
  refused: 'failure',
  degraded: 'failure',
  failed: 'error',
  unreachable: 'error',
};

/** The state that a message gives its commit; undefined when it is none of its affairs. */
export function commitState({ event, data }: Message): CommitState | undefined {
  // A repository or a disk that fails later takes nothing from a commit that was deployed.
  const isDeployed = data.commit === null || data.commit === data.converged_commit;
  const state = states[event];
  return data.commit === null || (state === 'error' && isDeployed) ? undefined : state;
}

/** `edge: converged in 0.8 s`, on one line. */
export function describeState({ event, data }: Message, longest: number): string {
  return redactLine(`${data.ring}: ${describe(event, data)}`, longest);
}

function describe(event: NewsEvent, { operation, error }: Message['data']): string {
  if (event === 'converging') return 'converging';
  if (event === 'recovered') return 'converged again';
  if (event === 'converged') {
    return operation === null
      ? 'converged, nothing to change'
      : `converged in ${(operation.duration_ms / 1000).toFixed(1)} s`;
  }
  return error === null ? event : `${event}: ${error.message}`;
}

/** What tells a ring's status from those of other rings and programs. */
export function statusContext(ring: string): string {
  return `ringlock/${ring}`;
}

/** The token that may write statuses, also as `_FILE`. */
export const statusTokenName = 'RINGLOCK_STATUS_TOKEN';
