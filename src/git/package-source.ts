import type { LockArtifact } from '../repo/lock.ts';
import type { ModuleManifest } from '../repo/module-manifest.ts';
import type { Settings } from '../repo/settings.ts';
import type { GitRepository } from './git-command.ts';
import type { ModuleSnapshot } from './platform-snapshot.ts';

/** A published version, before its bytes were read. */
export interface FoundPackage {
  readonly artifact: LockArtifact;
  /** RFC 3339, or null where the registry does not keep it. */
  readonly released_at: string | null;
  /** Base name of its files, `Orders` of `Orders-1.4.2.zip`; undefined where its URL has none. */
  readonly name: string | undefined;
  /** The registry that has it, for messages. */
  readonly display: string;
}

/** A package whose bytes were downloaded and verified against its artifact. */
export interface PackageContents {
  readonly manifest: ModuleManifest;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  readonly fileCount: number;
  readonly sizeBytes: number;
  /** By path; `oid` as git would name the file's bytes. */
  readonly files: ReadonlyMap<string, { readonly oid: string; readonly size: number }>;
  readonly changelog: string | undefined;
}

/** Where versions are had from that git does not have. */
export interface PackageSource {
  /** For a message only: a registry that does not answer has nothing to say. */
  versions(alias: string): Promise<readonly string[]>;
  /**
   * Undefined when no registry has it.
   *
   * @throws RinglockError `registries-away` when none has it and one did not answer
   */
  find(alias: string, version: string): Promise<FoundPackage | undefined>;
  /**
   * From the registry, or as it was remembered: a digest names one content for ever.
   *
   * @throws RinglockError `artifact-mismatch`, `archive-…`, `no-registry-for-artifact`, `registry-…`, and
   *   what the manifest's parser throws
   */
  read(alias: string, version: string, artifact: LockArtifact): Promise<PackageContents>;
  /** As read(), but what is remembered is believed only while the registry says that it has these bytes. */
  readPresent(alias: string, version: string, artifact: LockArtifact): Promise<PackageContents>;
}

/** What has to be known of a platform to open its registries. */
export interface PackagePlatform {
  readonly settings: Settings;
  readonly modules?: ReadonlyMap<string, ModuleSnapshot>;
}

/** @param repository where what packages hold is remembered; nowhere without one */
export type OpenPackages = (
  platform: PackagePlatform,
  repository?: Pick<GitRepository, 'commonDir'>,
) => PackageSource;
