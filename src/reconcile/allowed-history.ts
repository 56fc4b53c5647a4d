import { uuidv7 } from 'uuidv7';
import type { AuditLog } from '../audit/audit-log.ts';
import { type RinglockError, refused } from '../errors.ts';
import { isAncestor } from '../git/ancestry.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { FollowedRepository } from '../git/remote.ts';
import type { Root } from '../store/root.ts';
import { type RootIdentity, readRootFile } from '../store/root-file.ts';
import { convergedRef } from './fetched-state.ts';
import type { Log } from './log.ts';
import { operatorEvent } from './operation-events.ts';
import type { RingMemory, VerifiedCommit } from './ring/ring-memory.ts';
import { identityOf, isSameRepository } from './root-identity.ts';

export interface HistoryOptions {
  readonly ring: string;
  readonly replica: string;
  readonly branch: string;
  /** Goes to a commit that does not descend from the last one. */
  readonly allowRewind: boolean;
  /** The same, when the last one is of another repository or branch. */
  readonly adopt: boolean;
  readonly root: Root;
  readonly database: ObjectDatabase;
  readonly remote: Pick<FollowedRepository, 'url' | 'urls'>;
  readonly memory: RingMemory;
  readonly audit: AuditLog;
  readonly log: Log;
}

/** A commit that this root or its ring is at, and where it was found. */
interface Standing {
  readonly what: 'this root is at' | 'this ring is at' | 'this ring has verified';
  readonly commit: string;
  readonly repository: string | null;
  readonly branch: string | null;
}

/**
 * Which commits a root may go to (invariant 6): those that descend from the one it is at, and from the one
 * its ring is at, whatever repository and branch they were found in. Two flags of the pod allow others.
 */
export class AllowedHistory {
  readonly #options: HistoryOptions;
  /** What was said and audited in this process. */
  readonly #said = new Set<string>();

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  /** The commit that the root is at. */
  async last(): Promise<string | undefined> {
    return (await this.#ofRoot())?.commit;
  }

  /** The commit that the ring is known to be at. */
  get ofRing(): string | undefined {
    return this.#options.memory.newestAnchor?.commit;
  }

  /**
   * Refuses a commit that the root may not go to.
   *
   * @throws RinglockError `branch-rewritten`, `other-branch`, `other-repository`
   */
  async requireOfRoot(tip: string): Promise<void> {
    const standing = await this.#ofRoot();
    if (standing !== undefined) await this.#require(standing, tip);
  }

  /** A commit of another repository or branch, that may be gone to, makes the root that one's. */
  async enter(tip: string): Promise<void> {
    const { database, root } = this.#options;
    const standing = await this.#ofRoot();
    if (standing === undefined || !this.#isElsewhere(standing)) return;
    const { commit } = standing;
    const descends = commit === tip || (await isAncestor(database, commit, tip));
    // From here on this branch is followed, from what the root is at or, not descending from it, from the tip.
    const from = descends ? commit : tip;
    await database.writeRef(convergedRef(this.#options.branch), from);
    await root.identify(this.#identity);
  }

  /** @throws RinglockError as requireOfRoot() */
  async requireOfRing(tip: string): Promise<void> {
    const { newestAnchor } = this.#options.memory;
    if (newestAnchor !== undefined) {
      await this.#require({ what: 'this ring is at', repository: null, ...newestAnchor }, tip);
    }
  }

  /** @throws RinglockError as requireOfRoot(), for the commit that the ring has verified last */
  async requireOfVerified(verified: VerifiedCommit, tip: string): Promise<void> {
    const { commit, branch, repository = null } = verified;
    await this.#require({ what: 'this ring has verified', commit, repository, branch }, tip);
  }

  /** The root is at a commit from now on, and so is its ring, unless that is further. */
  async markConverged(tip: string): Promise<'forward' | 'behind'> {
    const { database, memory, branch, root, remote } = this.#options;
    await database.writeRef(convergedRef(branch), tip);
    const file = await readRootFile(root.path);
    const isWhole = [file?.ring, file?.repository, file?.branch].every((name) => name != null);
    if (!isWhole) await root.identify(this.#identity);
    const anchor = memory.anchor(branch);
    // A server that lags shows the commit of before: the ring stays where it is.
    const isForward = anchor === undefined || (await this.isOlder(anchor, tip));
    if (!isForward) return 'behind';
    await memory.moveAnchor(branch, tip, remote.url);
    return 'forward';
  }

  /** Whether a commit is older than another, as far as history is known here. */
  async isOlder(commit: string, than: string | null): Promise<boolean> {
    const { database, memory, allowRewind, adopt } = this.#options;
    if (than === null || !(await database.has(than))) return false;
    if (allowRewind || (await isAncestor(database, commit, than))) return true;
    // Left in a pod's manifest it must weaken nothing: only what is of another place is left for this one.
    const anchor = memory.newestAnchor;
    if (!adopt || anchor?.commit !== commit) return false;
    return this.#isElsewhere({ what: 'this ring is at', repository: null, ...anchor });
  }

  /** Whether a tip that is older than what the root is at may be taken, when there is no other. */
  async mayGoBack(): Promise<boolean> {
    const { allowRewind, adopt } = this.#options;
    if (allowRewind || !adopt) return allowRewind;
    const standing = await this.#ofRoot();
    return standing !== undefined && this.#isElsewhere(standing);
  }

  get #identity(): RootIdentity {
    const { ring, branch, remote } = this.#options;
    return { ring, branch, repository: remote.url };
  }

  async #ofRoot(): Promise<Standing | undefined> {
    const { root, database } = this.#options;
    const known = await identityOf(root);
    const branch = known?.branch ?? null;
    const ref = convergedRef(branch ?? this.#options.branch);
    const commit = (await database.readRef(ref)) ?? (await root.current())?.commit ?? undefined;
    const repository = known?.repository ?? null;
    return commit === undefined
      ? undefined
      : { what: 'this root is at', commit, repository, branch };
  }

  #isElsewhere(standing: Standing): boolean {
    return this.#isOtherBranch(standing) || this.#isOtherRepository(standing);
  }

  #isOtherBranch({ branch }: Standing): boolean {
    return branch !== null && branch !== this.#options.branch;
  }

  #isOtherRepository({ repository }: Standing): boolean {
    if (repository === null) return false;
    return !this.#options.remote.urls.some((url) => isSameRepository(repository, url));
  }

  /** @returns whether the tip descends from where somebody stands; without that it was allowed */
  async #require(standing: Standing, tip: string): Promise<boolean> {
    const { database, allowRewind, adopt, branch, remote } = this.#options;
    const { commit, what } = standing;
    const isElsewhere = this.#isElsewhere(standing);
    const descends = commit === tip || (await isAncestor(database, commit, tip));
    if (descends) {
      // The ring's memory of another branch is left behind by all its replicas alike: said by the root.
      if (isElsewhere && what === 'this root is at') {
        const from = `${standing.branch} of ${standing.repository}`;
        await this.#say(`goes on from ${from} to ${branch} of ${remote.url}`, standing, tip);
      }
      return true;
    }
    if (!allowRewind && !(adopt && isElsewhere)) throw await this.#refusal(standing, tip);
    const flag = allowRewind ? '--allow-rewind' : '--adopt';
    const why = isElsewhere ? 'another history is followed' : 'the branch was rewritten';
    await this.#say(`${why} from ${commit} on, as ${flag} says`, standing, tip);
    return false;
  }

  async #refusal(standing: Standing, tip: string): Promise<RinglockError> {
    const { branch, remote, database } = this.#options;
    const { commit, what } = standing;
    const details = { last: commit, tip };
    if (!this.#isElsewhere(standing)) {
      const isOlder = (await database.has(commit)) && (await isAncestor(database, tip, commit));
      const why = isOlder
        ? 'It is older: the server lags, or the branch was set back.'
        : 'The branch was rewritten, or the server lags.';
      return refused(
        'branch-rewritten',
        `${branch} is at ${tip}, which does not descend from ${commit}, the commit that ${what}`,
        {
          hint: `${why} To follow it, start the reconciler with --allow-rewind.`,
          details,
        },
      );
    }
    const isOther = this.#isOtherRepository(standing);
    const place = isOther ? `${standing.branch} of ${standing.repository}` : `${standing.branch}`;
    const here = isOther ? `${branch} of ${remote.url}` : branch;
    return refused(
      isOther ? 'other-repository' : 'other-branch',
      `${here} is at ${tip}, which does not descend from ${commit}, the commit that ${what}, on ${place}`,
      {
        hint: 'What only lags behind is followed once it has caught up. If another history is meant to be followed, start the reconciler with --adopt; else correct --repo or --branch, or give it a root of its own.',
        details,
      },
    );
  }

  /** Once for each pair of commits: in the log and in the audit. */
  async #say(message: string, { commit, what, ...from }: Standing, tip: string): Promise<void> {
    const { log, audit, ring, replica, branch, remote } = this.#options;
    const key = `${commit} ${tip}`;
    if (this.#said.has(key)) return;
    log.warn(message, { last: commit, tip });
    const actor = { name: 'ringlock', commit: tip };
    const detail = {
      ...{ last: commit, tip, what },
      ...{ from_repository: from.repository, from_branch: from.branch },
      ...{ to_repository: remote.url, to_branch: branch },
    };
    const facts = { operationId: uuidv7(), ring, replica, actor };
    await audit.append([operatorEvent(facts, { alias: null, version: null, message, detail })]);
    this.#said.add(key);
  }
}
