import type { ConflictMarkers } from '../../repo/conflicted-lock-text.ts';

/** The three texts of a file in a merge; an empty base: both sides added it. */
export interface MergedTexts {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/** What a file became. */
export interface FileMerge {
  readonly text: string;
  /** One line for each module, tenant or setting that is left to a person. */
  readonly conflicts: readonly string[];
}

/** What becomes of conflicts: a side that the person prefers, the common ancestor, or markers. */
export type ConflictChoice = 'ours' | 'theirs' | 'base' | ConflictMarkers;
