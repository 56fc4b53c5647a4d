import { RinglockError } from '../errors.ts';
import { redactValues } from '../redaction.ts';
import type { Suspension } from '../repo/ring.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import {
  type RootState,
  type RootStatus,
  readStatus,
  type StatusRestarts,
  type StatusVerified,
} from '../store/status-file.ts';
import type { RingMemory, VerifiedCommit } from './ring/ring-memory.ts';

type Identity = Pick<RootStatus, 'ring' | 'replica' | 'repository' | 'branch' | 'ringlock_version'>;

/** Keeps what `status.json`, `/api/health` and `reconciler_status` say, and writes it when it changes. */
export class StatusKeeper {
  readonly #root: Root;
  readonly #now: () => Date;
  #current: RootStatus;
  /** The state to go back to after an operation beside a failure. */
  #before: Pick<RootStatus, 'state' | 'last_error'>;
  #recordedRefusal: string | undefined;
  /** Whether the file lacks what #current says: it could not be written, or not be read at the start. */
  #isBehind = false;
  /** It was said that the file cannot be written, since it last could. */
  #isTroubleSaid = false;
  #writing: Promise<unknown> = Promise.resolve();
  #retryAfterMs: number | undefined;
  readonly #onTrouble: (message: string) => void;
  /** Told that there may be something new to see. */
  #onChange: () => void = () => {};

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
      next_at: null,
      outbox_pending: null,
      answered_by: null,
      operation: null,
      holds: {},
      held: {},
      degraded: before?.degraded ?? null,
      anchored: false,
      verified: before?.verified ?? null,
      restarts: restartsOf(root, before, now),
      ...servedFacts(generation),
    });
    keeper.#isBehind = unreadable !== undefined;
    keeper.#isTroubleSaid = keeper.#isBehind;
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

  /** Has somebody called whenever the status is said anew. */
  whenChanged(listener: () => void): void {
    this.#onChange = listener;
  }

  /** When the server that failed last wants to be asked again, in ms. */
  get retryAfterMs(): number | undefined {
    return this.#retryAfterMs;
  }

  /** A pass begins; not written by itself. */
  passBegins(): void {
    this.#current = { ...this.#current, next_at: null };
    this.#retryAfterMs = undefined;
  }

  /** After a failure: when it is tried again. */
  async triesAgain(at: Date): Promise<void> {
    await this.#write({ next_at: at.toISOString() });
  }

  /** The branch's tip was seen by a URL; not written by itself, the pass that follows writes. */
  observed(tip: string, at: Date, answeredBy: string | null): void {
    this.#isBehind ||= answeredBy !== (this.#current.answered_by ?? null);
    this.#current = {
      ...this.#current,
      commit: tip,
      observed_at: at.toISOString(),
      answered_by: answeredBy,
    };
  }

  /** The tip is the one that was converged before and the disk is as pinned. */
  async unchanged(tip: string): Promise<void> {
    const { state, converged_commit } = this.#current;
    const settled = this.#settled();
    if (state === settled.state && converged_commit === tip && !this.#isBehind) return;
    await this.#write({ ...settled, converged_commit: tip });
  }

  async converging(): Promise<void> {
    this.#before = this.#current;
    await this.#write({ state: 'converging' });
  }

  /** A phase of an operation begins. */
  async phase(phase: string, ringOperation: string | null): Promise<void> {
    const since = this.#now().toISOString();
    await this.#write({ operation: { phase, ring_operation: ringOperation, since } });
  }

  /** What keeps the ring from the committed lock, as far as it is known. */
  remembers(memory: RingMemory, branch: string, held: ReadonlyMap<string, string>): void {
    const holds = [...memory.holds].map(([alias, { entry, reason, by, since }]) => {
      const version = entry?.version ?? null;
      return [alias, { version, reason, by, ...(since !== undefined && { since }) }];
    });
    const failed = [...held].filter(([alias]) => !memory.holds.has(alias));
    this.#current = withoutSecrets({
      ...this.#current,
      holds: Object.fromEntries(holds),
      held: Object.fromEntries(failed),
      anchored: memory.anchor(branch) !== undefined || this.#current.generation !== null,
    });
  }

  /** The application is not well although the ring goes on with these versions; undefined: it is. */
  degradedBy(reason: string | undefined): void {
    this.#current = withoutSecrets({ ...this.#current, degraded: reason ?? null });
  }

  /** @param verified undefined while signatures are not asked for */
  async converged(
    tip: string,
    generation: Generation | undefined,
    verified?: VerifiedCommit,
  ): Promise<void> {
    await this.#write({
      ...this.#settled(),
      commit: tip,
      converged_commit: tip,
      operation: null,
      converged_at: this.#now().toISOString(),
      verified: verified === undefined ? null : signerOf(verified),
      ...servedFacts(generation),
    });
  }

  /** Converged, unless something sick is left or kept out. */
  #settled(): Pick<RootStatus, 'state' | 'last_error'> {
    const { degraded = null, held = {}, last_error: known } = this.#current;
    const say = (code: string, message: string) => {
      const isSame = known?.code === code && known.message === message;
      return { code, message, at: isSame ? known.at : this.#now().toISOString() };
    };
    if (degraded !== null) {
      const message = `the application is not healthy: ${degraded}`;
      return { state: 'degraded', last_error: say('degraded', message) };
    }
    const kept = Object.entries(held).map(([alias, reason]) => `${alias} (${reason})`);
    if (kept.length > 0) {
      const message = `held at their last good versions: ${kept.join(', ')}`;
      return { state: 'held', last_error: say('failed-before', message) };
    }
    return { state: 'converged', last_error: null };
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
    const { code, message, hint, exitCode, details } = failure;
    const state = failedState(code, exitCode);
    const retryAfterMs = details?.['retryAfterMs'];
    this.#retryAfterMs = typeof retryAfterMs === 'number' ? retryAfterMs : undefined;
    const known = this.#current.last_error;
    // A server that is away says so in other words each time; what is refused is refused for a reason.
    const same = known?.code === code && (exitCode === 3 || known.message === message);
    const at = same ? known.at : this.#now().toISOString();
    await this.#write({
      state,
      operation: null,
      last_error: { code, message, ...(hint !== undefined && { hint }), at },
    });
    // What goes on beside the failure may find nothing to do.
    this.#before = this.#current;
  }

  /** A repair beside a failure is done; the failure stays. */
  async repaired(generation: Generation | undefined): Promise<void> {
    const { state, last_error } = this.#before;
    await this.#write({ state, last_error, operation: null, ...servedFacts(generation) });
  }

  /** Whether the same refusal of the same commit is on record: one event, not one a pass. */
  isRecorded(failure: RinglockError): boolean {
    return refusalKey(this.#current.commit, failure) === this.#recordedRefusal;
  }

  /** The refusal has its event. */
  recorded(failure: RinglockError): void {
    this.#recordedRefusal = refusalKey(this.#current.commit, failure);
  }

  /** Null: there is no database that anything could wait for. */
  async outboxPending(count: number | null): Promise<void> {
    if (this.#current.outbox_pending === count && !this.#isBehind) return;
    await this.#write({ outbox_pending: count });
  }

  async #write(change: Partial<RootStatus>): Promise<void> {
    this.#current = withoutSecrets({ ...this.#current, ...change });
    this.#onChange();
    this.#isBehind = true;
    // One at a time: of two at once, the one that replaces the file last need not be the later one.
    const turn = this.#writing.then(async () => {
      const written = this.#current;
      await this.#root.writeStatus(written);
      this.#isBehind = written !== this.#current;
      this.#isTroubleSaid = false;
    });
    this.#writing = turn.catch(() => {});
    try {
      await turn;
    } catch (error) {
      // A full disk must not end a watch: what serves does not depend on this file.
      if (!(error instanceof RinglockError)) throw error;
      if (!this.#isTroubleSaid) this.#onTrouble(`status.json is out of date: ${error.message}`);
      this.#isTroubleSaid = true;
    }
  }
}

/** What is in words is redacted; names, versions and ids are what programs compare. */
function withoutSecrets(status: RootStatus): RootStatus {
  const { last_error, holds = {}, held = {}, degraded = null } = status;
  return { ...status, ...redactValues({ last_error, holds, held, degraded }) };
}

function failedState(code: string, exitCode: number): RootState {
  if (code === 'degraded') return 'degraded';
  if (exitCode !== 3) return 'refused';
  return code.startsWith('remote-') || code === 'attempt-timeout' ? 'unreachable' : 'failed';
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

function signerOf({ commit, by, key }: VerifiedCommit): StatusVerified {
  return { commit, by, key };
}

/** A process that was ended in order is no restart: it gave its root up. */
function restartsOf(
  { tookOver }: Root,
  before: RootStatus | undefined,
  now: () => Date,
): StatusRestarts | null {
  const known = before?.restarts ?? null;
  if (!tookOver) return known;
  return { count: (known?.count ?? 0) + 1, last_at: now().toISOString() };
}
