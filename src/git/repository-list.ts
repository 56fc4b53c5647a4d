import { environmentFailed, RinglockError } from '../errors.ts';
import { isAncestor } from './ancestry.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { FetchStats, FetchTreesOptions, FollowedRepository, Known, Remote } from './remote.ts';

export interface RepositoryListOptions {
  /** Told once of each thing that changes. */
  readonly onChange: (level: 'info' | 'warn', message: string) => void;
  /** Limits how long one may be asked while another one could be. */
  readonly turn?: <T>(whose: string, ask: () => Promise<T>) => Promise<T>;
  /** Milliseconds of a clock that nobody sets. */
  readonly now?: () => number;
}

/**
 * One repository that several URLs lead to, in order of preference. The first that answers, and is not
 * behind what is known, is taken; one that failed rests for a while, is asked last meanwhile, and is taken
 * again when it is well.
 *
 * @param remotes at least one; closed with the list
 */
export function repositoryList(
  remotes: readonly Remote[],
  database: ObjectDatabase,
  options: RepositoryListOptions,
): FollowedRepository {
  return new RepositoryList(remotes, database, options);
}

interface Member {
  readonly remote: Remote;
  /** In a row, since it answered last. */
  failures: number;
  restsUntil: number;
  /** What was told of it last. */
  said: string | undefined;
}

const shortestRestMs = 1_000;
const longestRestMs = 60_000;

class RepositoryList implements FollowedRepository {
  readonly #members: readonly Member[];
  readonly #database: ObjectDatabase;
  readonly #options: RepositoryListOptions;
  readonly #now: () => number;
  #answering: Member | undefined;

  constructor(
    remotes: readonly Remote[],
    database: ObjectDatabase,
    options: RepositoryListOptions,
  ) {
    this.#members = remotes.map((remote) => ({
      remote,
      failures: 0,
      restsUntil: 0,
      said: undefined,
    }));
    this.#database = database;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get urls(): readonly string[] {
    return this.#members.map(({ remote }) => remote.url);
  }

  /** What the repository is called, whichever URL answers. */
  get url(): string {
    return this.urls[0] ?? '';
  }

  get answering(): string | undefined {
    return this.#answering?.remote.url;
  }

  async resolveBranch(branch: string, known?: () => Promise<Known>): Promise<string> {
    // Of one URL alone the caller says what it is to go back.
    const isAlone = this.#members.length === 1;
    const { commits = [], mayGoBack = false } = (isAlone ? undefined : await known?.()) ?? {};
    const failures: RinglockError[] = [];
    const behind: { readonly member: Member; readonly tip: string; readonly than: string }[] = [];
    const members = this.#inOrder();
    for (const member of members) {
      try {
        const tip = await this.#inTurn(member, members, () => member.remote.resolveBranch(branch));
        const than = await this.#isBehind(member, tip, commits);
        if (than === undefined) return this.#answers(member, tip);
        behind.push({ member, tip, than });
        this.#say(
          member,
          `${member.remote.url} is behind: ${branch} is at ${tip}, older than ${than}`,
        );
      } catch (error) {
        failures.push(this.#failed(member, error));
      }
    }
    const [first] = behind;
    if (first === undefined) throw noneAnswers(failures);
    if (mayGoBack) return this.#answers(first.member, first.tip);
    throw allBehind(
      branch,
      behind.map(({ member, tip }) => `${member.remote.url} at ${tip}`),
      first.than,
      failures,
    );
  }

  fetchCommits(tip: string, have: string | undefined, depth?: number): Promise<FetchStats> {
    return this.#fetch((remote) => remote.fetchCommits(tip, have, depth));
  }

  fetchTrees(oids: readonly string[], options?: FetchTreesOptions): Promise<FetchStats> {
    return this.#fetch((remote) => remote.fetchTrees(oids, options));
  }

  async close(): Promise<void> {
    for (const { remote } of this.#members) await remote.close();
  }

  /** By preference; those that rest come last. */
  #inOrder(): readonly Member[] {
    const now = this.#now();
    const isResting = ({ restsUntil }: Member) => restsUntil > now;
    return [
      ...this.#members.filter((member) => !isResting(member)),
      ...this.#members.filter(isResting),
    ];
  }

  /** The last that can be asked has all the time there is. */
  #inTurn<T>(member: Member, members: readonly Member[], ask: () => Promise<T>): Promise<T> {
    const { turn } = this.#options;
    const isLast = member === members.at(-1);
    return turn === undefined || isLast ? ask() : turn(member.remote.url, ask);
  }

  #answers(member: Member, tip: string): string {
    if (member !== this.#answering && this.#members.length > 1) {
      this.#options.onChange('info', `${member.remote.url} answers for the repository`);
    }
    this.#answering = member;
    member.failures = 0;
    member.restsUntil = 0;
    member.said = undefined;
    return tip;
  }

  /** @throws what is no failure of the repository */
  #failed(member: Member, error: unknown): RinglockError {
    if (!(error instanceof RinglockError)) throw error;
    const asked = Number(error.details?.['retryAfterMs'] ?? 0);
    const rest = Math.min(longestRestMs, shortestRestMs * 2 ** member.failures);
    member.failures += 1;
    member.restsUntil = this.#now() + Math.max(asked, rest);
    this.#say(member, error.message);
    return error;
  }

  #say(member: Member, message: string): void {
    if (this.#members.length === 1 || member.said === message) return;
    member.said = message;
    this.#options.onChange('warn', `${message}; the next repository is asked`);
  }

  /** The known commit that a tip is an ancestor of, as far as all repositories together can tell. */
  async #isBehind(
    member: Member,
    tip: string,
    commits: readonly string[],
  ): Promise<string | undefined> {
    for (const commit of commits) {
      if (commit === tip || (await this.#descends(tip, commit))) continue;
      if (await this.#descends(commit, tip)) return commit;
      // A fresh disk has neither; and what it began with may be younger than a mirror that lags.
      await this.#tryToFetch(member, tip, commit);
      if (await this.#descends(tip, commit)) continue;
      for (const other of this.#members) {
        await this.#tryToFetch(other, commit, tip);
        if (await this.#descends(commit, tip)) return commit;
      }
    }
    return undefined;
  }

  async #descends(commit: string, from: string): Promise<boolean> {
    return (await this.#database.has(commit)) && isAncestor(this.#database, from, commit);
  }

  async #tryToFetch({ remote }: Member, tip: string, have: string): Promise<void> {
    try {
      await remote.fetchCommits(tip, have);
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      // It cannot tell; another one may.
    }
  }

  /** What one lacks, or fails to send, is asked from the next. */
  async #fetch(fetch: (remote: Remote) => Promise<FetchStats>): Promise<FetchStats> {
    const failures: RinglockError[] = [];
    const isResting = (this.#answering?.restsUntil ?? 0) > this.#now();
    const first = isResting ? undefined : this.#answering;
    const others = this.#inOrder().filter((member) => member !== first);
    const members = first === undefined ? others : [first, ...others];
    for (const member of members) {
      try {
        return await this.#inTurn(member, members, () => fetch(member.remote));
      } catch (error) {
        if (!(error instanceof RinglockError)) throw error;
        failures.push(error);
        // One that crawls would take its time for each thing that is asked.
        if (error.code === 'turn-over') member.restsUntil = this.#now() + longestRestMs;
        this.#say(member, error.message);
      }
    }
    // One that did not answer may have what the others lack.
    throw failures.find(({ code }) => code !== 'remote-lacks-object') ?? failures[0];
  }
}

function noneAnswers(failures: readonly RinglockError[]): RinglockError {
  const [first] = [...failures.filter(({ exitCode }) => exitCode === 3), ...failures];
  if (first === undefined) return environmentFailed('remote-unreachable', 'no repository is given');
  const messages = [...new Set(failures.map(({ message }) => message))];
  if (messages.length === 1) return first;
  const { code, exitCode, hint, details } = first;
  return new RinglockError(code, exitCode, `no repository answers: ${messages.join('; ')}`, {
    ...(hint !== undefined && { hint }),
    ...(details !== undefined && { details }),
  });
}

function allBehind(
  branch: string,
  found: readonly string[],
  than: string,
  failures: readonly RinglockError[],
): RinglockError {
  const others = failures.map(({ message }) => `; ${message}`).join('');
  return environmentFailed(
    'remote-behind',
    `${branch} is older everywhere than ${than}, which is deployed already: ${found.join(', ')}${others}`,
    {
      hint: 'The mirrors lag: wait until one has caught up. If the branch was set back on purpose, start the reconciler with --allow-rewind.',
      details: { than },
    },
  );
}
