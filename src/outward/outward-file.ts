import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cursor } from '../audit/journal.ts';
import { removeUnfinished, writeFileAtomically } from '../store/atomic-file.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import type { Message } from './message.ts';
import type { Told } from './news.ts';

const fileName = 'outward.json';

/** A message that waits for its receiver. */
export interface Queued {
  readonly receiver: string;
  readonly message: Message;
  /** Whether this replica is known to be the one that tells. */
  readonly claimed: boolean;
}

/** A receiver that did not take what it was to be told. */
export interface Pause {
  /** How often in a row. */
  readonly failures: number;
  /** Not to be tried before, RFC 3339. */
  readonly notBefore: string;
}

interface OutwardState {
  /** Before which the audit journal has no news; null: nothing was looked at yet. */
  readonly cursor: Cursor | null;
  readonly told: Told | undefined;
  /** Oldest first. */
  readonly queue: readonly Queued[];
  /** By receiver. */
  readonly pauses: Readonly<Record<string, Pause>>;
}

/**
 * `<root>/outward.json`: what was told and what waits to be, replaced together, so that a kill between
 * two looks neither loses news nor finds them twice. No webhook's address and no secret is in it.
 */
export class OutwardFile {
  readonly #path: string;
  #state: OutwardState;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, state: OutwardState) {
    this.#path = path;
    this.#state = state;
  }

  /** A file that is lost or broken is an empty one: at worst something is told again. */
  static async open(root: string): Promise<OutwardFile> {
    const path = join(root, fileName);
    await removeUnfinished(root, [fileName]);
    return new OutwardFile(path, (await readState(path)) ?? emptyState);
  }

  get current(): OutwardState {
    return this.#state;
  }

  /**
   * Changes the state, on disk before it returns; a change that could not be written is kept in memory
   * and written with the next one.
   *
   * @throws RinglockError `disk-…`
   */
  change(change: (state: OutwardState) => OutwardState): Promise<void> {
    const turn = this.#writing.then(async () => {
      const changed = change(this.#state);
      if (changed === this.#state) return;
      this.#state = changed;
      const text = `${JSON.stringify({ format: 1, ...changed })}\n`;
      await writeFileAtomically(this.#path, text, { mode: 0o600 });
    });
    this.#writing = turn.catch(() => {});
    return turn;
  }
}

const emptyState: OutwardState = { cursor: null, told: undefined, queue: [], pauses: {} };

async function readState(path: string): Promise<OutwardState | undefined> {
  try {
    const state = JSON.parse(await readFile(path, 'utf8'));
    return Array.isArray(state.queue) ? { ...emptyState, ...state } : undefined;
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError || error instanceof TypeError) return;
    throw diskFailed(error, path);
  }
}
