/** What a fetch moved; a local path moves no bytes over a wire and makes no requests. */
export interface FetchStats {
  /** Bytes of responses' bodies. */
  readonly bytes: number;
  readonly requests: number;
  /** Objects that arrived. */
  readonly objects: number;
}

export interface FetchTreesOptions {
  /** Trees come alone, without what is below them. */
  readonly shallow?: boolean;
  /** Blobs to fetch in the same request. */
  readonly blobs?: readonly string[];
  /** Trees whose objects need not come again; those that are not complete here are ignored. */
  readonly have?: readonly string[];
}

/** A repository that a ring follows. Every fetch is all or nothing: see ObjectDatabase.importPack. */
export interface Remote {
  /** For display: without credentials. */
  readonly url: string;
  /**
   * The commit at a branch's tip: one ls-refs.
   *
   * @throws RinglockError `branch-not-found`, naming the branches there are, `remote-empty`,
   * `remote-unreachable`, `remote-timeout`, `remote-unauthorized`, `remote-not-found`, `remote-busy`
   * (with `details.retryAfterMs` when the server says so), `remote-failed`, `remote-not-git`,
   * `remote-redirected`, `fetch-incomplete`
   */
  resolveBranch(branch: string): Promise<string>;
  /**
   * Fetches the commit `tip` and every commit between it and `have`, without their trees where the
   * server can leave those out; only `tip` when there is no `have`, or the server does not know it.
   *
   * @param have need not be in the database (a ring may remember more than its disk)
   * @param depth without a `have`: how many generations of commits, the tip's among them (1)
   * @throws RinglockError as resolveBranch(), and `remote-lacks-object`, `fetch-corrupt`
   */
  fetchCommits(tip: string, have: string | undefined, depth?: number): Promise<FetchStats>;
  /**
   * Fetches objects by id, trees with all that is below them; what is here already is not asked for.
   *
   * @throws RinglockError as fetchCommits()
   */
  fetchTrees(oids: readonly string[], options?: FetchTreesOptions): Promise<FetchStats>;
  close(): Promise<void>;
}

/** A repository whose tags can be asked for too, as a module's mirror is. */
export interface TaggedRemote extends Remote {
  /**
   * Brings the commit that a tag points to, annotated or not, without its files where the server can
   * leave those out.
   *
   * @returns the commit, or undefined when there is no such tag
   * @throws RinglockError as fetchCommits(), `not-a-commit` when the tag is of something else
   */
  fetchTag(tag: string): Promise<string | undefined>;
}

/** What a branch's tip is compared with. */
export interface Known {
  /** Commits that are deployed: a repository whose tip is an ancestor of one lags. */
  readonly commits?: readonly string[];
  /** Takes a tip that is behind all the same when there is no other. */
  readonly mayGoBack?: boolean;
}

/** The repository that a ring follows, by whichever of its URLs answers. */
export interface FollowedRepository extends Remote {
  /**
   * The repository's name wherever one is kept (status, generation.json): the first URL, whichever
   * answers.
   */
  readonly url: string;
  /** Every URL that leads to it, in order of preference, without credentials. */
  readonly urls: readonly string[];
  /** The one that answered last. */
  readonly answering: string | undefined;
  /**
   * As Remote.resolveBranch(), from the first URL that answers and is not behind.
   *
   * @param known asked only where there are several
   * @throws RinglockError also `remote-behind`, when several answer and all are
   */
  resolveBranch(branch: string, known?: () => Promise<Known>): Promise<string>;
}
