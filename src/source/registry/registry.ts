import type { LockArtifact } from '../../repo/lock.ts';

/** A package as it is published: files that belong together. */
export interface PackagedModule {
  readonly alias: string;
  /** Base name of its files, such as `Orders` of `modules/Orders`: `Orders-1.4.2.zip`. */
  readonly name: string;
  readonly version: string;
  readonly zip: Uint8Array;
  /** Of the zip: `sha256:<hex>`. */
  readonly sha256: string;
  /** MANIFEST.json's bytes. */
  readonly manifest: string;
}

/** An artifact where it was found. */
export interface FoundArtifact extends LockArtifact {
  /** When it was published, RFC 3339, as the registry keeps it: the same for everybody who asks; null where it does not. */
  readonly released_at: string | null;
}

export interface Published {
  /** `same`: these very bytes were there before. */
  readonly outcome: 'published' | 'same';
  readonly artifact: FoundArtifact;
}

/** A place where packages are kept and had from. */
export interface Registry {
  /** What people call it; no credentials are in it. */
  readonly display: string;
  /** Whether an artifact's URL is one of this registry. */
  owns(url: string): boolean;
  /** Published versions of a module, lowest first; none of a module that it does not know. */
  versions(alias: string): Promise<readonly string[]>;
  /** Where a version is; undefined when it is not there. */
  find(alias: string, version: string): Promise<FoundArtifact | undefined>;
  /**
   * The bytes of a package, as they come. Size and digest are verified with the last of them.
   *
   * @throws RinglockError `registry-…`; `artifact-mismatch` with what was expected and what came
   */
  read(artifact: LockArtifact, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Publishes a package; one that is there already is left as it is.
   *
   * @throws RinglockError `version-published` when other bytes are there under this version
   */
  publish(module: PackagedModule, signal: AbortSignal): Promise<Published>;
}
