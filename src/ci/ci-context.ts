/** What a pipeline's variables say of the change that it checks; fields are undefined where nothing does. */
export interface CiContext {
  /** Undefined outside of GitLab and GitHub. */
  readonly forge: 'gitlab' | 'github' | undefined;
  /** A change that asks to be merged, or a branch that was pushed; undefined for a tag, or outside. */
  readonly event: 'merge-request' | 'push' | undefined;
  /** Of a merge request: the branch's name. */
  readonly targetBranch: string | undefined;
  /** The branch that was pushed, or is to be merged. */
  readonly branch: string | undefined;
  /** What has to be checked where that is not what is checked out. */
  readonly head: string | undefined;
  /** A ref of the remote that leads to `head`. */
  readonly headRef: string | undefined;
  /** The merge base of the merge request, as GitLab knows it. */
  readonly base: string | undefined;
  /** Where the pushed branch was before; undefined for a new one. */
  readonly before: string | undefined;
  /**
   * In a merge train or queue the target will be at what is merged before this change: a commit, or
   * `first-parent` of the one that is checked out.
   */
  readonly queuedOn: string | undefined;
  /** Whether the pipeline runs in a fork, whose branches are not the target's. */
  readonly isFork: boolean;
}

/** The parts of GitHub's event that are read. */
interface GithubEvent {
  readonly before?: unknown;
  readonly pull_request?: {
    readonly number?: unknown;
    readonly head?: { readonly sha?: unknown };
  };
  readonly merge_group?: { readonly base_sha?: unknown; readonly base_ref?: unknown };
}

const outside: CiContext = {
  forge: undefined,
  event: undefined,
  targetBranch: undefined,
  branch: undefined,
  head: undefined,
  headRef: undefined,
  base: undefined,
  before: undefined,
  queuedOn: undefined,
  isFork: false,
};

/**
 * Reads GitLab's predefined variables, or GitHub's default ones with the event that they name.
 *
 * @param event the text of the file GITHUB_EVENT_PATH; undefined where there is none
 */
export function readCiContext(
  environment: NodeJS.ProcessEnv,
  event: string | undefined,
): CiContext {
  if (environment['GITLAB_CI'] === 'true') return gitlabContext(environment);
  if (environment['GITHUB_ACTIONS'] === 'true') return githubContext(environment, event);
  return outside;
}

/** In a child pipeline CI_PIPELINE_SOURCE says parent_pipeline; the merge request's variables stay. */
function gitlabContext(environment: NodeJS.ProcessEnv): CiContext {
  const value = (name: string): string | undefined => environment[name] || undefined;
  const targetBranch = value('CI_MERGE_REQUEST_TARGET_BRANCH_NAME');
  const branch = value('CI_MERGE_REQUEST_SOURCE_BRANCH_NAME') ?? value('CI_COMMIT_BRANCH');
  const isTrain = value('CI_MERGE_REQUEST_EVENT_TYPE') === 'merge_train';
  return {
    ...outside,
    forge: 'gitlab',
    event: targetBranch ? 'merge-request' : branch ? 'push' : undefined,
    targetBranch,
    branch,
    headRef: value('CI_MERGE_REQUEST_REF_PATH'),
    base: commitId(value('CI_MERGE_REQUEST_DIFF_BASE_SHA')),
    before: targetBranch ? undefined : commitId(value('CI_COMMIT_BEFORE_SHA')),
    queuedOn: isTrain ? 'first-parent' : undefined,
    isFork:
      value('CI_MERGE_REQUEST_PROJECT_ID') !== undefined &&
      value('CI_MERGE_REQUEST_PROJECT_ID') !== value('CI_PROJECT_ID'),
  };
}

function githubContext(environment: NodeJS.ProcessEnv, text: string | undefined): CiContext {
  const event = parseEvent(text);
  const ref = environment['GITHUB_REF'] ?? '';
  const name = environment['GITHUB_EVENT_NAME'];
  const base = { ...outside, forge: 'github' } as const;
  if (name === 'merge_group') {
    const target = String(event.merge_group?.base_ref ?? '').replace(/^refs\/heads\//, '');
    return {
      ...base,
      event: 'merge-request',
      targetBranch: target || undefined,
      queuedOn: commitId(event.merge_group?.base_sha) ?? 'first-parent',
    };
  }
  const targetBranch = environment['GITHUB_BASE_REF'] || undefined;
  if (targetBranch !== undefined) {
    const number = event.pull_request?.number;
    // pull_request_target checks out the target itself: compared with that, everything would pass.
    const isTarget = name === 'pull_request_target';
    return {
      ...base,
      event: 'merge-request',
      targetBranch,
      branch: environment['GITHUB_HEAD_REF'] || undefined,
      head: isTarget ? commitId(event.pull_request?.head?.sha) : undefined,
      headRef: isTarget ? `refs/pull/${number}/head` : ref || undefined,
    };
  }
  const branch = /^refs\/heads\/(.+)$/.exec(ref)?.[1];
  const before = name === 'push' ? commitId(event.before) : undefined;
  return { ...base, event: branch ? 'push' : undefined, branch, headRef: ref || undefined, before };
}

/** An event that cannot be read says nothing: what it would tell is then looked for in git. */
function parseEvent(text: string | undefined): GithubEvent {
  try {
    return (JSON.parse(text ?? '{}') as GithubEvent | null) ?? {};
  } catch {
    return {};
  }
}

/** Forges write zeros for a commit that there is none of. */
function commitId(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^[0-9a-f]{40,64}$/.test(value)) return undefined;
  return /^0+$/.test(value) ? undefined : value;
}
