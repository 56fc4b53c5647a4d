import type { Actor } from '../audit/event.ts';
import { RinglockError } from '../errors.ts';
import { isAncestor } from '../git/ancestry.ts';
import { type CommittedPlatform, fetchCommitted, readCommitted } from '../git/committed-files.ts';
import type { Commit } from '../git/object-store.ts';
import type { FollowedRepository } from '../git/remote.ts';
import { redactLine } from '../redaction.ts';
import { formatLock } from '../repo/lock.ts';
import { tenantsFile } from '../repo/names.ts';
import { readOverride } from '../repo/override-trailer.ts';
import { parseRingFile } from '../repo/ring.ts';
import { defaultSettings } from '../repo/settings.ts';
import type { Generation } from '../store/generation.ts';
import { AllowedHistory, type HistoryOptions } from './allowed-history.ts';
import { type CommittedRing, readCommittedRing } from './committed-ring.ts';
import { fetchTreesThemselves } from './fetch-trees-themselves.ts';
import { findLockCommit } from './lock-commit.ts';
import type { VerifiedCommit } from './ring/ring-memory.ts';
import { OperationStopped } from './ring/ring-operation.ts';
import {
  isNotVerified,
  type SigningOptions,
  type VerifiedHistory,
  verifyHistory,
} from './signed-history.ts';

/** A commit whose lock is to be made true, and who is behind it. */
export interface Target {
  readonly commit: string | null;
  readonly committed: CommittedRing;
  /** The text of tenants.yaml, where it is known. */
  readonly tenants: string | undefined;
  readonly actor: Actor;
  /** The commit's first line, or nothing. */
  readonly subject: string;
  /** Why the commit went over closed gates, as its trailer says it; undefined when it has none. */
  readonly override?: string | undefined;
  /** Whether it is what was known before, with git away or its tip refused. */
  readonly isKnown: boolean;
  /** What was proven of signatures; undefined while they are not asked for. */
  readonly verification: Verification | undefined;
}

export interface Verification extends VerifiedHistory {
  /** The commit that was taken as it was, since signatures were not asked for before. */
  readonly takenAsIs: string | undefined;
  /** The commit that gave the lock its content. */
  readonly deployed: string;
}

export interface FollowOptions extends HistoryOptions {
  readonly remote: FollowedRepository;
  /** Who may deploy; undefined asks for no signatures. */
  readonly signing: SigningOptions | undefined;
  readonly now: () => Date;
}

/** The branch that a ring follows: its tip, what leads to it, and what it says of the ring. */
export class BranchFollower {
  readonly #options: FollowOptions;
  readonly #history: AllowedHistory;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#history = new AllowedHistory(options);
  }

  /** The branch's tip: one ls-refs, where no repository lags. */
  observe(): Promise<string> {
    const { remote, branch } = this.#options;
    return remote.resolveBranch(branch, async () => {
      const deployed = [await this.#history.last(), this.#history.ofRing];
      const commits = [...new Set(deployed)].filter((commit) => commit !== undefined);
      return { commits, mayGoBack: await this.#history.mayGoBack() };
    });
  }

  /** Fetches the tip and what leads to it, checks descent, and reads the ring's files. */
  async fetch(tip: string): Promise<Target> {
    const { remote, database, ring } = this.#options;
    const last = await this.#history.last();
    const anchor = this.#history.ofRing;
    // What is not here yet cannot be had. From what was verified on, all that came since is looked at.
    const have = last ?? [this.#verifiedBefore?.commit, anchor].find((oid) => oid && oid !== tip);
    if (tip !== last || !(await database.has(tip))) await this.#fetchCommits(tip, have);
    await this.#history.requireOfRoot(tip);
    if (tip !== last) await this.#refuseBehindRing(tip, () => this.#history.requireOfRing(tip));
    const verified = await this.#verify(tip, last ?? anchor);
    await this.#history.enter(tip);
    const platform = await fetchCommitted(remote, database, tip, last);
    const deployed = await findLockCommit(database, platform.commit, ring, (oids) =>
      fetchTreesThemselves(remote, oids),
    );
    const verification = verified && { ...verified, deployed: deployed.oid };
    return { ...(await this.#target(platform, tip, deployed)), verification };
  }

  /** The commit that is served, as far as it is known here; else what is served itself. */
  async known({ commit, lock }: Generation): Promise<Target> {
    const { database, ring } = this.#options;
    const actor = { name: 'ringlock', commit };
    const known = { commit, actor, subject: '', isKnown: true };
    const unknown = { tenants: undefined, verification: undefined };
    try {
      if (commit !== null) {
        const committed = await readCommittedRing(await readCommitted(database, commit), ring);
        return { ...known, ...unknown, committed };
      }
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
    }
    const committed = { ring: parseRingFile('', ring).ring, lock, settings: defaultSettings };
    return { ...known, ...unknown, committed };
  }

  /** Whether a newer commit says of the ring what an earlier one said; one that is away says nothing else. */
  async saysTheSame(tip: string, { lock, ring, settings }: CommittedRing): Promise<boolean> {
    try {
      const { committed } = await this.fetch(tip);
      const texts = [committed, { lock, ring, settings }].map((said) =>
        JSON.stringify([
          formatLock(said.lock),
          [...said.ring.holds],
          said.ring.suspended,
          said.settings,
        ]),
      );
      return texts[0] === texts[1];
    } catch (error) {
      // Whoever may not deploy must not be able to stop what is being deployed.
      if (isNotVerified(error)) return true;
      return error instanceof RinglockError && error.exitCode === 3;
    }
  }

  /** The root is at a commit: it goes to none that does not descend from it. */
  async markConverged(tip: string, verification?: Verification): Promise<void> {
    const { memory, branch } = this.#options;
    const moved = await this.#history.markConverged(tip);
    if (verification === undefined || moved === 'behind') return;
    const before = memory.verified(branch);
    const signer = verification.signers.get(tip);
    if (before?.commit === tip && signer === undefined) return;
    const { principal: by = null, fingerprint: key = null } = signer ?? {};
    const repository = this.#options.remote.url;
    await memory.moveVerified({ commit: tip, by, key, branch, repository });
  }

  /** Whether a commit is older than another, as far as history is known here. */
  isOlder(commit: string, than: string | null): Promise<boolean> {
    return this.#history.isOlder(commit, than);
  }

  /** A fresh disk announces the ring's commit without having it: of an older tip nothing is then sent. */
  async #fetchCommits(tip: string, have: string | undefined): Promise<void> {
    const { remote, database } = this.#options;
    try {
      await remote.fetchCommits(tip, have);
    } catch (error) {
      const isLacking = error instanceof RinglockError && error.code === 'pack-lacks-object';
      if (!isLacking || have === undefined || (await database.has(have))) throw error;
      await remote.fetchCommits(tip, undefined);
    }
  }

  /** What the ring has verified last; undefined while signatures are not asked for. */
  get #verifiedBefore(): VerifiedCommit | undefined {
    const { signing, memory, branch } = this.#options;
    return signing && (memory.verified(branch) ?? memory.newestVerified);
  }

  /** Invariants 6 and 7: nothing below `manifests/` is read of a commit that may not be deployed. */
  async #verify(
    tip: string,
    served: string | undefined,
  ): Promise<Omit<Verification, 'deployed'> | undefined> {
    const { signing, ring, database, remote, now } = this.#options;
    if (signing === undefined) return undefined;
    const before = this.#verifiedBefore;
    const verified = before?.commit;
    // Where signatures were not asked for before, what serves is taken as it is.
    const known = verified ?? served;
    if (before !== undefined && verified !== tip && verified !== served) {
      await this.#fetchCommits(tip, verified);
      await this.#refuseBehindRing(tip, () => this.#history.requireOfVerified(before, tip));
    }
    // After a rewind nothing is known of what leads to the tip.
    const isAhead =
      known !== undefined && (known === tip || (await isAncestor(database, known, tip)));
    const history = await verifyHistory({
      ...{ signing, ring, tip, database, remote, now: now() },
      since: isAhead ? known : undefined,
    });
    return { ...history, takenAsIs: verified === undefined && isAhead ? known : undefined };
  }

  async #target(
    platform: CommittedPlatform,
    commit: string,
    deployed: Commit,
  ): Promise<Omit<Target, 'verification'>> {
    const { name, email } = deployed.author;
    return {
      commit,
      committed: await readCommittedRing(platform, this.#options.ring),
      tenants: await platform.readText(tenantsFile),
      // Whoever commits writes these, perhaps with a token in them, and people read them in terminals.
      actor: { name: redactLine(`${name} <${email}>`), commit: deployed.oid },
      subject: redactLine(deployed.message.split('\n', 1)[0] ?? ''),
      override: overrideOf(deployed),
      isKnown: false,
    };
  }

  /** The ring may have gone on since the branch was looked at; a server that lags is refused. */
  async #refuseBehindRing(tip: string, require: () => Promise<void>): Promise<void> {
    try {
      await require();
    } catch (error) {
      throw (await this.observe()) === tip ? error : new OperationStopped('the branch moved on');
    }
  }
}

function overrideOf({ message }: Commit): string | undefined {
  const reason = readOverride(message);
  return reason === undefined ? undefined : redactLine(reason);
}
