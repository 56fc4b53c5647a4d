import type { LockEntry } from '../repo/lock.ts';

/** A file as a source delivers it. */
export interface SourceFile {
  /** Relative to the module, `/`-separated. */
  readonly path: string;
  readonly executable: boolean;
  readonly content: Uint8Array;
}

/** What is asked for: a lock entry and its alias. */
export interface WantedModule {
  readonly alias: string;
  readonly entry: LockEntry;
}

/** Asks within a limit of time. @throws RinglockError `turn-over` when that was not enough */
export type Turn = <T>(whose: string, ask: () => Promise<T>) => Promise<T>;

/**
 * One place where module bytes come from. What it delivers is exactly what is distributed
 * (exclusions applied); whoever takes it verifies the digest.
 */
export interface ModuleSource {
  /** For messages and audit events: `object-store`, `git`, `artifact`, `mirror`. */
  readonly name: string;
  /** Whether it can be asked for a module; absent where it has to be asked to know. */
  offers?(module: WantedModule): boolean;
  /** Limits how long it may be asked while another one could be; absent where nothing is waited for. */
  readonly turn?: Turn;
  /** Whether it was cut off by such a limit before: it is then asked last. */
  isSlow?(): boolean;
  /** Makes several modules ready in as few requests as the source can; those it cannot give are left. */
  prefetch?(modules: readonly WantedModule[]): Promise<void>;
  /**
   * The module's files, or undefined when this source does not have it.
   *
   * @throws RinglockError when the source is away or what it has is broken
   */
  read(module: WantedModule): Promise<AsyncIterable<SourceFile> | undefined>;
}
