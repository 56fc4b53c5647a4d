/** A git tree's entry; `path` is a single name. */
export interface TreeEntry {
  readonly path: string;
  /** 040000, 100644, 100755, 120000 or 160000. */
  readonly mode: string;
  readonly oid: string;
}

export interface Commit {
  readonly oid: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: Signature;
  readonly committer: Signature;
  readonly message: string;
}

export interface Signature {
  readonly name: string;
  readonly email: string;
  /** Seconds since 1970. */
  readonly timestamp: number;
}

/** Reads git objects by id; every method throws RinglockError `object-missing` when one is not there. */
export interface ObjectReader {
  has(oid: string): Promise<boolean>;
  readCommit(oid: string): Promise<Commit>;
  readTree(oid: string): Promise<readonly TreeEntry[]>;
  readBlob(oid: string): Promise<Uint8Array>;
}

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

/** An object as git stores it, before anything is made of its bytes. */
export interface RawObject {
  readonly type: ObjectType;
  readonly content: Uint8Array;
}
