import type { PassClock } from '../reconcile/pass-clock.ts';
import type { RingMemory } from '../reconcile/ring/ring-memory.ts';
import type { Tally } from '../reconcile/tally.ts';
import type { RootStatus } from '../store/status-file.ts';

/** What the server may look at; it changes none of it. */
export interface Observed {
  readonly status: () => RootStatus;
  readonly memory: Pick<RingMemory, 'holds' | 'failures'>;
  readonly tally: Tally;
  readonly clock: PassClock;
  /** Absolute path of the root. */
  readonly root: string;
}
