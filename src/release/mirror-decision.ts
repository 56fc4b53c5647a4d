/** What a mirror has, and what it is to have; ids of commits. */
export interface MirrorState {
  /** The split's last commit. */
  readonly commit: string;
  /** Where the mirror's branch is; undefined when it has none. */
  readonly former: string | undefined;
  /** How the former stands to the split; undefined when there is no former. */
  readonly relation: 'same' | 'behind' | 'ahead' | 'diverged' | undefined;
  /** The commit of the mirror's tag of this version; undefined when it has none. */
  readonly tagged: string | undefined;
  /** Whether the tagged commit has the same distributed bytes as the split's last. */
  readonly isTaggedAlike: boolean;
}

export type MirrorDecision =
  | {
      readonly kind: 'push';
      readonly branch: 'new' | 'forward' | 'forced' | 'kept';
      readonly tag: boolean;
    }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly reason: 'tag-exists' | 'mirror-ahead' };

/** Decides what is pushed. A tag that exists never moves; only a history that diverged is forced. */
export function decideMirror(state: MirrorState): MirrorDecision {
  if (state.tagged !== undefined && !state.isTaggedAlike) {
    return { kind: 'refused', reason: 'tag-exists' };
  }
  // A pipeline that was overtaken by a newer one must not set the mirror back.
  if (state.relation === 'ahead') return { kind: 'refused', reason: 'mirror-ahead' };
  const tag = state.tagged === undefined;
  if (state.relation === 'same' && !tag) return { kind: 'nothing' };
  const branches = { same: 'kept', behind: 'forward', diverged: 'forced' } as const;
  const branch = state.relation === undefined ? 'new' : branches[state.relation];
  return { kind: 'push', branch, tag };
}
