/** A merge request of GitLab, or a pull request of GitHub. */
export interface MergeRequest {
  readonly number: number;
  /** As people write it: `!7`, `#7`. */
  readonly reference: string;
  /** For people. */
  readonly url: string;
  readonly title: string;
  readonly text: string;
  /** `merging`: the forge is at it. */
  readonly state: 'open' | 'merging' | 'merged' | 'closed';
  /** The branch that it is to be merged into. */
  readonly target: string;
  /** Who merged or closed it, where the forge says so. */
  readonly by: string | undefined;
}

export interface NewMergeRequest {
  readonly branch: string;
  readonly target: string;
  readonly title: string;
  /** Markdown. */
  readonly text: string;
}

/** A forge on which merge requests are opened; all of them throw RinglockErrors `forge-…`. */
export interface RequestForge {
  readonly display: string;
  /** Those of a branch of the project itself, not of a fork's with the same name; the newest first. */
  list(branch: string, signal: AbortSignal): Promise<readonly MergeRequest[]>;
  /** @returns undefined when the forge says that one is open already */
  create(request: NewMergeRequest, signal: AbortSignal): Promise<MergeRequest | undefined>;
  update(
    number: number,
    change: Pick<NewMergeRequest, 'title' | 'text'>,
    signal: AbortSignal,
  ): Promise<MergeRequest>;
}
