import { badInput, environmentFailed, type RinglockError } from '../errors.ts';
import { resolveCommit } from '../git/baseline.ts';
import { type DeployRef, findDeployRefs } from '../git/deploy-branch.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';
import { type PlatformSnapshot, readPlatform } from '../git/platform-snapshot.ts';
import { commitTree } from '../git/tree-snapshot.ts';
import type { CiContext } from './ci-context.ts';
import {
  fetchCommit,
  fetchUntil,
  fetchWholeHistory,
  findRemote,
  type HistoryRemote,
  isShallow,
  listBranches,
  type RemoteBranch,
} from './fetch-history.ts';

export interface RangeRequest {
  /** A branch or another revision to compare with; undefined for what the pipeline says. */
  readonly target?: string | undefined;
  /** What is checked; undefined for what the pipeline says, else HEAD. */
  readonly head?: string | undefined;
  /** Undefined: `origin`, or the only one. */
  readonly remote?: string | undefined;
  /** Asks no remote: compares with what is here. */
  readonly offline?: boolean;
  /** How much of history is needed: released versions stand in all of it. */
  readonly need: 'merge-base' | 'all';
}

/** The change that a pipeline checks; all commits are whole ids. */
export interface CiRange {
  readonly event: 'merge-request' | 'push' | undefined;
  readonly head: string;
  readonly snapshot: PlatformSnapshot;
  /** Where the change began: the merge base, or what a branch was before a push; undefined: nothing. */
  readonly base: string | undefined;
  /**
   * What the change will be merged onto: the target as it is now, or in a merge train as it will be.
   * Undefined for what was pushed already.
   */
  readonly tip: string | undefined;
  /** The target's name, for messages. */
  readonly target: string | undefined;
  /** The deploy branches as they are without this change. */
  readonly deployRefs: readonly DeployRef[];
  readonly remote: HistoryRemote | undefined;
  /** The branch that is checked, where that is known. */
  readonly branch: string | undefined;
  /** Sentences about how far the comparison can be relied on. */
  readonly notices: readonly string[];
}

/**
 * Finds what a change is compared with, and brings what a pipeline's clone left out.
 *
 * @throws RinglockError `unknown-revision`, `no-target`, `no-merge-base`, `fetch-failed`, `no-remote`,
 *   `history-missing`, and what readPlatform() throws
 */
export async function findCiRange(
  repository: GitRepository,
  context: CiContext,
  request: RangeRequest,
): Promise<CiRange> {
  const remote = request.offline ? undefined : await findRemote(repository, request.remote);
  const head = await findHead(repository, context, request, remote);
  const snapshot = await readPlatform(repository, await commitTree(repository, head));
  const deployBranches = [...new Set([...snapshot.rings.values()].map(({ ring }) => ring.branch))];
  const wanted =
    request.target ?? (isPushOf(context, deployBranches) ? undefined : context.targetBranch);
  const named = localName(wanted, remote);
  const branches = [...new Set([...deployBranches, ...(named ? [named] : []), ...pushed(context)])];
  const there = remote === undefined ? [] : await listBranches(repository, remote, branches);
  const known = { repository, context, request, remote, head, there };
  await bringHistory(known, named);
  const refs = await findDeployRefs(repository, deployBranches);
  const found =
    isPushOf(context, deployBranches) && request.target === undefined
      ? await pushedRange(known, refs)
      : await mergeRange(known, refs, wanted, named);
  if (request.need === 'all' && (await isShallow(repository))) throw historyMissing(repository);
  const branch = context.branch ?? (await presentBranch(repository));
  const notices = context.isFork
    ? [`this pipeline runs in a fork: the change was compared with the fork's ${found.target}`]
    : [];
  return { head, snapshot, remote, branch, notices, ...found };
}

interface Known {
  readonly repository: GitRepository;
  readonly context: CiContext;
  readonly request: RangeRequest;
  readonly remote: HistoryRemote | undefined;
  readonly head: string;
  readonly there: readonly RemoteBranch[];
}

async function findHead(
  repository: GitRepository,
  context: CiContext,
  { head }: RangeRequest,
  remote: HistoryRemote | undefined,
): Promise<string> {
  const wanted = head ?? context.head ?? 'HEAD';
  const here = await resolveCommit(repository, wanted);
  if (here !== undefined) return here;
  if (remote !== undefined && context.headRef !== undefined && wanted === context.head) {
    await fetchCommit(repository, remote, context.headRef);
    const fetched = await resolveCommit(repository, wanted);
    if (fetched !== undefined) return fetched;
  }
  throw badInput('unknown-revision', `${wanted} is not a commit of this repository`, {
    hint: 'Fetch it, or name another branch, tag or commit with --head.',
  });
}

function isPushOf({ event, branch }: CiContext, deployBranches: readonly string[]): boolean {
  return event === 'push' && branch !== undefined && deployBranches.includes(branch);
}

function pushed({ event, branch }: CiContext): string[] {
  return event === 'push' && branch !== undefined ? [branch] : [];
}

/** `origin/main` and `refs/heads/main` are the branch main. */
function localName(
  target: string | undefined,
  remote: HistoryRemote | undefined,
): string | undefined {
  const plain = target?.replace(/^refs\/(heads|remotes)\//, '');
  const prefix = `${remote?.name ?? 'origin'}/`;
  return plain?.startsWith(prefix) ? plain.slice(prefix.length) : plain;
}

async function bringHistory(known: Known, target: string | undefined): Promise<void> {
  const { repository, remote, request, head, there } = known;
  if (remote === undefined) return;
  if (request.need === 'all') {
    await fetchWholeHistory(repository, remote, there, head);
    return;
  }
  const wanted = there.filter(({ branch }) => target === undefined || branch === target);
  const isThere = async (): Promise<boolean> => {
    const { before } = known.context;
    if (before !== undefined) return (await resolveCommit(repository, before)) !== undefined;
    const bases = await Promise.all(wanted.map(({ oid }) => mergeBase(repository, head, oid)));
    return bases.every((base) => base !== undefined);
  };
  if (wanted.length > 0 && !(await isThere())) {
    await fetchUntil(repository, remote, wanted, head, isThere);
  }
}

async function presentBranch({ topLevel }: GitRepository): Promise<string | undefined> {
  const { status, stdout } = await tryGit(topLevel, ['symbolic-ref', '--quiet', '--short', 'HEAD']);
  return status === 0 ? stdout.toString().trim() : undefined;
}

type FoundRange = Pick<CiRange, 'event' | 'base' | 'tip' | 'target' | 'deployRefs'>;

/** A deploy branch is compared with what it was: what it has now is this very change. */
async function pushedRange(
  { repository, context, remote, head, request }: Known,
  refs: readonly DeployRef[],
): Promise<FoundRange> {
  const { branch = '' } = context;
  const base = await formerTip(repository, context.before, head, remote);
  if (base === undefined && context.before !== undefined && request.offline) {
    throw historyMissing(repository, context.before);
  }
  const deployRefs = refs.flatMap((ref) => withTip(ref, branch, base));
  return { event: 'push', base, tip: undefined, target: branch, deployRefs };
}

async function formerTip(
  repository: GitRepository,
  before: string | undefined,
  head: string,
  remote: HistoryRemote | undefined,
): Promise<string | undefined> {
  if (before === undefined) return undefined;
  if ((await resolveCommit(repository, before)) !== undefined) return before;
  // After a force push the former tip is on no branch; the server may have it still.
  if (remote !== undefined) await fetchCommit(repository, remote, before).catch(() => {});
  return (await resolveCommit(repository, before)) ?? resolveCommit(repository, `${head}^1`);
}

async function mergeRange(
  { repository, context, request, head, there }: Known,
  refs: readonly DeployRef[],
  wanted: string | undefined,
  named: string | undefined,
): Promise<FoundRange> {
  const event = context.event;
  const target = await findTarget(
    repository,
    head,
    refs,
    wanted,
    there.find(({ branch }) => branch === named),
  );
  const queued =
    request.target === undefined ? await queuedOn(repository, context, head) : undefined;
  const tip = queued ?? target.oid;
  const base = (await mergeBase(repository, head, tip)) ?? (await knownBase(repository, context));
  if (base === undefined) {
    if (await isShallow(repository)) throw historyMissing(repository);
    throw environmentFailed(
      'no-merge-base',
      `${head.slice(0, 12)} and ${target.name} have no common history`,
      {
        hint: 'Name what the change is to be merged into with --target.',
      },
    );
  }
  const deployRefs = refs.flatMap((ref) => (queued ? withTip(ref, target.name, queued) : [ref]));
  return {
    event: event === undefined ? undefined : 'merge-request',
    base,
    tip,
    target: target.name,
    deployRefs,
  };
}

async function findTarget(
  repository: GitRepository,
  head: string,
  refs: readonly DeployRef[],
  wanted: string | undefined,
  remote: RemoteBranch | undefined,
): Promise<{ readonly name: string; readonly oid: string }> {
  if (wanted !== undefined) {
    const oid = remote?.oid ?? (await resolveTarget(repository, wanted));
    if (oid !== undefined) return { name: remote?.branch ?? wanted, oid };
    throw badInput('unknown-revision', `the target ${wanted} is not in this repository`, {
      hint: `Fetch it: git fetch origin ${wanted}; or name another branch, tag or commit with --target.`,
    });
  }
  const near = await nearest(repository, refs, head);
  if (near !== undefined) return { name: near.branch, oid: near.oid };
  throw badInput(
    'no-target',
    'there is nothing to compare with: no deploy branch is in this repository',
    {
      hint: 'Name what the change is to be merged into with --target.',
    },
  );
}

/** A clone of a pipeline has the remote's branches only; a name may be of one here. */
async function resolveTarget(
  repository: GitRepository,
  wanted: string,
): Promise<string | undefined> {
  return (
    (await resolveCommit(repository, `refs/remotes/origin/${wanted}`)) ??
    resolveCommit(repository, wanted)
  );
}

/** The deploy branch that the fewest commits lead away from. */
async function nearest(
  repository: GitRepository,
  refs: readonly DeployRef[],
  head: string,
): Promise<DeployRef | undefined> {
  const found: { readonly ref: DeployRef; readonly commits: number }[] = [];
  for (const ref of refs) {
    if ((await mergeBase(repository, head, ref.oid)) === undefined) continue;
    const counted = await runGit(repository.topLevel, [
      'rev-list',
      '--count',
      `${ref.oid}..${head}`,
    ]);
    found.push({ ref, commits: Number(counted) });
  }
  return found.sort((a, b) => a.commits - b.commits)[0]?.ref ?? refs[0];
}

async function queuedOn(
  repository: GitRepository,
  { queuedOn: place }: CiContext,
  head: string,
): Promise<string | undefined> {
  if (place === undefined) return undefined;
  return resolveCommit(repository, place === 'first-parent' ? `${head}^1` : place);
}

/** What GitLab says, where history does not. */
async function knownBase(
  repository: GitRepository,
  { base }: CiContext,
): Promise<string | undefined> {
  return base === undefined ? undefined : resolveCommit(repository, base);
}

async function mergeBase(
  { topLevel }: GitRepository,
  one: string,
  other: string,
): Promise<string | undefined> {
  const { status, stdout } = await tryGit(topLevel, ['merge-base', one, other]);
  return status === 0 ? stdout.toString().trim() : undefined;
}

/** The same branch at another commit; a name of its own for the cache, since the tracking ref differs. */
function withTip(ref: DeployRef, branch: string, oid: string | undefined): DeployRef[] {
  if (ref.branch !== branch) return [ref];
  return oid === undefined ? [] : [{ ...ref, ref: `ci/${branch}`, oid, isRemote: true }];
}

function historyMissing({ topLevel }: GitRepository, commit?: string): RinglockError {
  const what = commit === undefined ? 'the history of the deploy branches' : `the commit ${commit}`;
  return environmentFailed(
    'history-missing',
    `${topLevel} is a shallow clone without ${what}, and --offline forbids to fetch it`,
    {
      hint: 'Leave --offline out, or clone all of it: in GitLab CI `GIT_DEPTH: 0`, in a GitHub workflow `fetch-depth: 0` of actions/checkout.',
    },
  );
}
