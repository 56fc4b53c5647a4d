import { RinglockError } from '../errors.ts';
import type { Suspension } from '../repo/ring.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import { type RootStatus, readStatus } from '../store/status-file.ts';

type Identity = Pick<RootStatus, 'ring' | 'replica' | 'repository' | 'branch' | 'ringlock_version'>;

/** Keeps what `status.json`, `/api/health` and `reconciler_status` say, and writes it when it changes. */
export class StatusKeeper {
  readonly #root: Root;
  readonly #now: () => Date;
  #current: RootStatus;
  /** The state to go back to after an operation beside a failure. */
  #before: Pick<RootStatus, 'state' | 'last_error'>;
  #recordedRefusal: string | undefined;
  readonly #onTrouble: (message: string) => void;
  /** The file does not say what #current says: it could not be written, or not be read at the start. */
  #isStale = false;

  /** The status of a root that was just opened: what it serves, and what the process before said. */
  static async start(
    root: Root,
    identity: Identity,
    now: () => Date,
    onTrouble: (message: string) => void = () => {},
  ): Promise<StatusKeeper> {
    const generation = await root.current();
    let unreadable: string | undefined;
    // Written anew in this pass: what is lost is when the root converged last.
    const before = await readStatus(root.path).catch((error: unknown) => {
      if (!(error instanceof RinglockError)) throw error;
      unreadable = error.message;
      return undefined;
    });
    if (unreadable !== undefined) onTrouble(`${unreadable}; it is written anew`);
    const keeper = new StatusKeeper(root, now, onTrouble, {
      ...identity,
      state: 'starting',
      commit: before?.commit ?? null,
      converged_commit: before?.converged_commit ?? null,
      last_error: before?.last_error ?? null,
      observed_at: before?.observed_at ?? null,
      converged_at: before?.converged_at ?? null,
      outbox_pending: null,
      ...servedFacts(generation),
    });
    keeper.#isStale = unreadable !== undefined;
    if (before?.state === 'refused' && before.last_error !== null) {
      keeper.#recordedRefusal = refusalKey(before.commit, before.last_error);
    }
    return keeper;
  }

  private constructor(
    root: Root,
    now: () => Date,
    onTrouble: (message: string) => void,
    initial: RootStatus,
  ) {
    this.#root = root;
    this.#now = now;
    this.#onTrouble = onTrouble;
    this.#current = initial;
    this.#before = initial;
  }

  get current(): RootStatus {
    return this.#current;
  }

  /** The branch's tip was seen; not written by itself, the pass that follows writes. */
  observed(tip: string, at: Date): void {
    this.#current = { ...this.#current, commit: tip, observed_at: at.toISOString() };
  }

  /** The tip is the one that was converged before and the disk is as pinned. */
  async unchanged(tip: string): Promise<void> {
    const { state, last_error } = this.#current;
    if (state === 'converged' && last_error === null && !this.#isStale) return;
    await this.#write({ state: 'converged', last_error: null, converged_commit: tip });
  }

  async converging(): Promise<void> {
    this.#before = this.#current;
    await this.#write({ state: 'converging' });
  }

  async converged(tip: string, generation: Generation | undefined): Promise<void> {
    await this.#write({
      state: 'converged',
      commit: tip,
      converged_commit: tip,
      last_error: null,
      converged_at: this.#now().toISOString(),
      ...servedFacts(generation),
    });
  }

  async suspended(tip: string, { reason }: Suspension): Promise<void> {
    const message = `the ring is suspended${reason === undefined ? '' : `: ${reason}`}`;
    await this.#write({
      state: 'suspended',
      commit: tip,
      last_error: { code: 'suspended', message, at: this.#now().toISOString() },
    });
  }

  async fail(failure: RinglockError): Promise<void> {
    const { code, message, hint, exitCode } = failure;
    const state =
      exitCode !== 3 ? 'refused' : code.startsWith('remote-') ? 'unreachable' : 'failed';
    const known = this.#current.last_error;
    const same = known?.code === code && known.message === message;
    const at = same ? known.at : this.#now().toISOString();
    await this.#write({
      state,
      last_error: { code, message, ...(hint !== undefined && { hint }), at },
    });
  }

  /** A repair beside a failure is done; the failure stays. */
  async repaired(generation: Generation | undefined): Promise<void> {
    const { state, last_error } = this.#before;
    await this.#write({ state, last_error, ...servedFacts(generation) });
  }

  /** Whether the same refusal of the same commit is on record: one event, not one a pass. */
  isRecorded(failure: RinglockError): boolean {
    return refusalKey(this.#current.commit, failure) === this.#recordedRefusal;
  }

  /** The refusal has its event. */
  recorded(failure: RinglockError): void {
    this.#recordedRefusal = refusalKey(this.#current.commit, failure);
  }

  async outboxPending(count: number): Promise<void> {
    if (this.#current.outbox_pending !== count) await this.#write({ outbox_pending: count });
  }

  async #write(change: Partial<RootStatus>): Promise<void> {
    this.#current = { ...this.#current, ...change };
    try {
      await this.#root.writeStatus(this.#current);
      this.#isStale = false;
    } catch (error) {
      // A full disk must not end a watch: what serves does not depend on this file.
      if (!(error instanceof RinglockError)) throw error;
      if (!this.#isStale) this.#onTrouble(`status.json is out of date: ${error.message}`);
      this.#isStale = true;
    }
  }
}

function refusalKey(commit: string | null, failure: { code: string; message: string }): string {
  return `${commit} ${failure.code} ${failure.message}`;
}

/** What a status says of the generation that serves. */
export function servedFacts(
  generation: Generation | undefined,
): Pick<RootStatus, 'generation' | 'lock_digest' | 'modules'> {
  const modules = [...(generation?.lock.modules ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    generation: generation?.number ?? null,
    lock_digest: generation?.lockDigest ?? null,
    modules: Object.fromEntries(modules.map(([alias, { version }]) => [alias, version])),
  };
}
