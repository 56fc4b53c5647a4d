import { RinglockError, refused } from '../errors.ts';
import { commitsBetween, isAncestor } from '../git/ancestry.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Commit } from '../git/object-store.ts';
import type { Remote } from '../git/remote.ts';
import {
  readTrustedKeys,
  type Signer,
  type SignerFiles,
  type TrustedKeys,
  verifyCommit,
} from '../git/signatures/commit-verifier.ts';
import { manifestsDirectory } from '../repo/names.ts';
import { fetchTreesThemselves } from './fetch-trees-themselves.ts';
import { findLockChanges } from './lock-changes.ts';

/** Who may deploy, as the pod's own flags say it. */
export interface SigningOptions {
  readonly files: SignerFiles;
  /** Ids of commits that a person lets pass. */
  readonly trustedCommits: ReadonlySet<string>;
}

export interface HistoryQuestion {
  readonly signing: SigningOptions;
  readonly ring: string;
  readonly tip: string;
  /** The commit verified last, an ancestor of the tip or the tip; undefined for a first contact. */
  readonly since: string | undefined;
  readonly database: ObjectDatabase;
  readonly remote: Remote;
  readonly now: Date;
}

/** What is proven of a tip. */
export interface VerifiedHistory {
  readonly tip: string;
  /** Commit id → who signed it, of the commits that were looked at. */
  readonly signers: ReadonlyMap<string, Signer>;
  /** Commits that passed only because the pod's flags say so. */
  readonly trusted: readonly string[];
}

/**
 * Verifies a tip and what leads to it (invariants 6 and 7): the tip, and every commit since the one
 * verified last that changes `manifests/`. A merge changes it when its `manifests/` is not that of each of
 * its parents, so that none chooses between them unsigned; a commit with a parent that is not here counts
 * as one that changes it. Without such a commit (docs/reconcile.md, "Who may deploy") it is the tip, and
 * every commit that the ring's lock may have its present content from.
 *
 * @throws RinglockError `commit-…` as verifyCommit(), naming the commit and its author, and
 *   `commit-history-unproven`; as readTrustedKeys()
 */
export async function verifyHistory(question: HistoryQuestion): Promise<VerifiedHistory> {
  const { signing, tip, since } = question;
  if (since === tip) return { tip, signers: new Map(), trusted: [] };
  const check = new HistoryCheck(question, await readTrustedKeys(signing.files));
  if (since === undefined) await check.firstContact();
  else await check.since(since);
  return check.result();
}

/** The commit cannot be gone to because of its signature, or of one before it: it says nothing. */
export function isNotVerified(error: unknown): boolean {
  return error instanceof RinglockError && error.code.startsWith('commit-');
}

class HistoryCheck {
  readonly #question: HistoryQuestion;
  readonly #keys: TrustedKeys;
  readonly #signers = new Map<string, Signer>();
  readonly #failures = new Map<string, RinglockError>();
  readonly #trusted = new Set<string>();

  constructor(question: HistoryQuestion, keys: TrustedKeys) {
    this.#question = question;
    this.#keys = keys;
  }

  async since(verified: string): Promise<void> {
    const { database, tip } = this.#question;
    // Oldest first: that is the one to begin with.
    const commits = (await commitsBetween(database, verified, tip)).reverse();
    for (const oid of commits) await this.#judge(oid);
    const suspects = [...this.#failures.keys()];
    const changing = await this.#changingManifests(suspects);
    const wrong: string[] = [];
    for (const oid of suspects) {
      const counts = oid === tip || changing.has(oid) || this.#isMalformed(oid);
      // Where clocks ran backwards, commits from before the one verified last may be among these.
      if (counts && !(await isAncestor(database, oid, verified).catch(() => false)))
        wrong.push(oid);
    }
    await this.#refuse(wrong, changing);
  }

  async firstContact(): Promise<void> {
    const { database, remote, ring, tip, signing } = this.#question;
    if (signing.trustedCommits.has(tip)) {
      this.#trusted.add(tip);
      return;
    }
    await this.#judge(tip);
    await this.#refuse(this.#failures.has(tip) ? [tip] : [], new Set([tip]));
    const changes = await findLockChanges(database, remote, tip, ring);
    for (const oid of changes) await this.#judge(oid);
    await this.#refuse(
      [...changes].reverse().filter((oid) => this.#failures.has(oid)),
      changes,
    );
  }

  result(): VerifiedHistory {
    const { tip } = this.#question;
    return { tip, signers: this.#signers, trusted: [...this.#trusted] };
  }

  async #judge(oid: string): Promise<void> {
    const { database, now } = this.#question;
    if (this.#signers.has(oid)) return;
    const { content } = await database.readRaw(oid);
    try {
      this.#signers.set(oid, await verifyCommit(Buffer.from(content), this.#keys, now));
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      this.#failures.set(oid, error);
    }
  }

  /** What can be read in two ways is refused wherever it stands. */
  #isMalformed(oid: string): boolean {
    return this.#failures.get(oid)?.code === 'commit-malformed';
  }

  /** Those of the commits whose `manifests/` is not that of every parent. */
  async #changingManifests(oids: readonly string[]): Promise<ReadonlySet<string>> {
    const { database, remote } = this.#question;
    const commits: Commit[] = [];
    const parents = new Map<string, Commit>();
    for (const oid of oids) {
      const commit = await database.readCommit(oid);
      commits.push(commit);
      for (const parent of commit.parents) {
        if (await database.has(parent)) parents.set(parent, await database.readCommit(parent));
      }
    }
    const trees = [...commits, ...parents.values()].map(({ tree }) => tree);
    await fetchTreesThemselves(remote, [...new Set(trees)]);
    const changing = new Set<string>();
    for (const { oid, tree, parents: before } of commits) {
      const manifests = await manifestsIn(database, tree);
      const others = before.map(async (parent) => {
        const known = parents.get(parent);
        return known !== undefined && (await manifestsIn(database, known.tree)) === manifests;
      });
      const isSame = before.length > 0 && (await Promise.all(others)).every(Boolean);
      if (!isSame) changing.add(oid);
    }
    return changing;
  }

  /** @param wrong oldest first */
  async #refuse(wrong: readonly string[], changing: ReadonlySet<string>): Promise<void> {
    const { signing, database } = this.#question;
    const left = wrong.filter((oid) => !signing.trustedCommits.has(oid));
    for (const oid of wrong) if (signing.trustedCommits.has(oid)) this.#trusted.add(oid);
    const [oid] = left;
    const failure = oid === undefined ? undefined : this.#failures.get(oid);
    if (oid === undefined || failure === undefined) return;
    const { author } = await database.readCommit(oid);
    // Whoever wrote it is not yet believed: nothing in it may move a terminal's cursor.
    const by = `${author.name} <${author.email}>`.replace(/\p{Cc}/gu, '?');
    const more = left.length > 1 ? `; ${left.length - 1} after it as well` : '';
    throw refused(
      failure.code,
      `commit ${oid} by ${by} may not be deployed: ${failure.message}${more}`,
      { hint: whatToDo(oid, changing.has(oid)), details: { commits: left } },
    );
  }
}

function whatToDo(oid: string, isChange: boolean): string {
  if (!isChange) {
    return 'It changes nothing below manifests/: a commit on top of it that an allowed signer signs is enough.';
  }
  return `No later commit makes up for it. Sign it and push the branch again (pods then need --allow-rewind), or let this one pass on the pods: --trust-commit ${oid}`;
}

async function manifestsIn(database: ObjectDatabase, tree: string): Promise<string | undefined> {
  const entry = (await database.readTree(tree)).find(({ path }) => path === manifestsDirectory);
  return entry === undefined ? undefined : `${entry.mode} ${entry.oid}`;
}
