import { environmentFailed, RinglockError, refused } from '../errors.ts';
import { commitFile } from '../git/commit-file.ts';
import {
  markedText,
  type RequestedPins,
  readMarker,
  requestKey,
  requestTitle,
} from '../repo/request-text.ts';
import type { RequestAccess } from './open-requests.ts';
import {
  branchState,
  bringBranches,
  pushBranch,
  readBranches,
  withTrailer,
} from './request-branch.ts';
import type { MergeRequest } from './request-forge.ts';

/** What a step would change on the target's tip. */
export interface RequestedChange {
  /** The file that changes, from the repository's top. */
  readonly path: string;
  /** Its new text. */
  readonly text: string;
  readonly pins: RequestedPins;
  readonly title: string;
  /** The commit's. */
  readonly message: string;
  /** What the text depends on: it is written anew when this changes, and not for every passing hour. */
  readonly occasion: string;
  /** Markdown for the request, of what leads from one commit to the other. */
  describe(base: string, commit: string): Promise<string>;
}

export interface RequestStep {
  /** Of stepBranch(). */
  readonly branch: string;
  /** The branch that the request is to be merged into. */
  readonly target: string;
  /** The branch that versions come from, where that is another one. */
  readonly source: string;
  /**
   * Decides on the tips of target and source, which are here by then. It is asked again when somebody was
   * quicker.
   *
   * @returns undefined when the tip has everything already
   */
  decide(tip: string, sourceTip: string): Promise<RequestedChange | undefined>;
  /** Asks for versions again that a person has closed a request for, or that were merged and taken back. */
  readonly again: boolean;
  /** Looks, and neither pushes nor writes anything. */
  readonly dryRun: boolean;
}

/**
 * How it ended. `same`: the request says it already. `would-…`: of a dry run. `merged` and `closed`: a person has ended a request for
 * these very versions, and no other is opened. `nothing`: the target has them; a request may still be open.
 */
export interface RequestOutcome {
  readonly state: 'opened' | 'updated' | 'same' | 'merging' | EndedState | WouldState | 'nothing';
  readonly request: MergeRequest | undefined;
  readonly branch: string;
  readonly target: string;
  /** What the branch has; undefined where it was not looked at. */
  readonly commit: string | undefined;
  /** Whether the branch was pushed. */
  readonly pushed: boolean;
}

type EndedState = 'merged' | 'closed';
type WouldState = 'would-open' | 'would-update';

const mostAttempts = 3;

/**
 * Sees to it that there is one open merge request for a step, and that it asks for what is wanted now: makes
 * the commit on the target's tip, pushes the step's branch, and opens the request or brings it up to date.
 * Whatever fails on the way, the same again goes on from there.
 *
 * @throws RinglockError `deploy-branch-missing`, `foreign-branch`, `request-elsewhere`,
 *   `request-push-rejected`, `request-remote-…`, `forge-…`
 */
export async function requestMerge(
  access: RequestAccess,
  step: RequestStep,
  signal: AbortSignal,
): Promise<RequestOutcome> {
  for (let attempt = 1; ; attempt++) {
    const { target, source, branch } = step;
    const branches = await readBranches(access.remote, [...new Set([target, source, branch])]);
    try {
      return await requestOnce(access, step, branches, signal);
    } catch (error) {
      if (attempt >= mostAttempts || !(await wasOvertaken(access, step, branches, error))) {
        throw error;
      }
    }
  }
}

/** A push that is rejected because the branch has moved is decided anew, on what is there now. */
async function wasOvertaken(
  { remote }: RequestAccess,
  { branch }: RequestStep,
  before: ReadonlyMap<string, string>,
  error: unknown,
): Promise<boolean> {
  if (!(error instanceof RinglockError) || error.code !== 'request-push-rejected') return false;
  return (await readBranches(remote, [branch])).get(branch) !== before.get(branch);
}

async function requestOnce(
  access: RequestAccess,
  step: RequestStep,
  branches: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<RequestOutcome> {
  const { branch, target, source } = step;
  const [tip, sourceTip] = [branches.get(target), branches.get(source)];
  if (tip === undefined) throw branchMissing(access, target);
  if (sourceTip === undefined) throw branchMissing(access, source);
  await bringBranches(access.remote, branches);
  const change = await step.decide(tip, sourceTip);
  const requests = await access.forge.list(branch, signal);
  const open = requests.find(({ state }) => state === 'open' || state === 'merging');
  const former = branches.get(branch);
  const blank = { request: open, branch, target, commit: former, pushed: false };
  if (change === undefined) return { ...blank, state: 'nothing' };
  if (open !== undefined && open.target !== target) throw elsewhere(open, target);
  if (open?.state === 'merging') return { ...blank, state: 'merging' };
  const key = requestKey(change.pins);
  const ended = requests.find(({ text }) => readMarker(text)?.key === key);
  if (open === undefined && ended !== undefined && !step.again) {
    const state = ended.state === 'merged' ? 'merged' : 'closed';
    return { ...blank, request: ended, state };
  }
  if (step.dryRun) {
    const isSame = open !== undefined && readMarker(open.text)?.key === key;
    return { ...blank, state: isSame ? 'same' : open ? 'would-update' : 'would-open' };
  }
  const made = await makeBranch(access, step, { tip, former, change, key });
  const title = requestTitle(change.title);
  const text = markedText(await change.describe(made.base, made.commit), change.occasion, key);
  const pushed = made.commit !== former;
  // Last, so that what cannot be described leaves nothing behind.
  if (pushed) await pushBranch(access.remote, branch, made.commit, former);
  const outcome = { ...blank, commit: made.commit, pushed };
  const wanted = { branch, target, title, text };
  if (open !== undefined)
    return { ...outcome, ...(await bringUpToDate(access, open, wanted, signal)) };
  const created = await access.forge.create(wanted, signal);
  if (created !== undefined) return { ...outcome, state: 'opened', request: created };
  // Another run was quicker, or the answer to our own was lost.
  const listed = await access.forge.list(branch, signal);
  const other = listed.find(({ state }) => state === 'open');
  if (other === undefined) throw notFound(access, branch);
  if (other.target !== target) throw elsewhere(other, target);
  return { ...outcome, ...(await bringUpToDate(access, other, wanted, signal)) };
}

interface Wanted {
  readonly tip: string;
  readonly former: string | undefined;
  readonly change: RequestedChange;
  readonly key: string;
}

/** The commit for the step's branch: the one that is there, or one that is made on the target's tip. */
async function makeBranch(
  { remote: { repository } }: RequestAccess,
  { branch }: RequestStep,
  { tip, former, change, key }: Wanted,
): Promise<{ readonly base: string; readonly commit: string }> {
  if (former !== undefined) {
    const found = await branchState(repository, tip, former, change);
    if (found.state === 'current') return { base: found.base, commit: former };
    if (found.state === 'foreign') throw foreignBranch(branch, found.foreign ?? former);
  }
  const message = await withTrailer(repository, change.message, key);
  const { path, text } = change;
  return { base: tip, commit: await commitFile(repository, { parent: tip, path, text, message }) };
}

/** What people wrote into the request stays, until there is something new to say. */
async function bringUpToDate(
  { forge }: RequestAccess,
  open: MergeRequest,
  wanted: { readonly title: string; readonly text: string },
  signal: AbortSignal,
): Promise<Pick<RequestOutcome, 'state' | 'request'>> {
  const [before, after] = [readMarker(open.text), readMarker(wanted.text)];
  if (before?.key === after?.key && before?.occasion === after?.occasion) {
    return { state: 'same', request: open };
  }
  return { state: 'updated', request: await forge.update(open.number, wanted, signal) };
}

function branchMissing({ remote: { display } }: RequestAccess, branch: string) {
  return refused('deploy-branch-missing', `${display} has no branch ${branch}`, {
    hint: "It is the ring's `branch`: push it, or correct the ring's file.",
  });
}

function foreignBranch(branch: string, commit: string) {
  return refused('foreign-branch', `${branch} has a commit that is not ringlock's: ${commit}`, {
    hint: 'It is not overwritten: merge or close the request and delete the branch, then run this again.',
  });
}

function elsewhere({ reference, url, target: found }: MergeRequest, target: string) {
  return refused(
    'request-elsewhere',
    `${reference} of this step is to be merged into ${found}, expected ${target} (${url})`,
    { hint: 'Change its target back, or close it.' },
  );
}

function notFound({ forge: { display } }: RequestAccess, branch: string) {
  return environmentFailed(
    'forge-failed',
    `${display} says that a request of ${branch} is open already, and lists none`,
    { hint: 'Run the same again; nothing is done twice.' },
  );
}
