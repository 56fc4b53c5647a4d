import type { ModuleManifest } from '../repo/module-manifest.ts';

/** A file of a package, as MANIFEST.json lists it. */
export interface PackagedFile {
  readonly path: string;
  /** Hex, without prefix. */
  readonly sha256: string;
  /** Octal permission bits: `0644` or `0755`. */
  readonly mode: string;
  readonly size_bytes: number;
}

export interface PackageFacts {
  /** Base name of its files, `Orders`. */
  readonly name: string;
  readonly manifest: ModuleManifest;
  readonly commit: string;
  readonly tree: string;
  /** Content digest, `sha256:<hex>`. */
  readonly digest: string;
  readonly archive: {
    readonly file: string;
    readonly sha256: string;
    readonly size_bytes: number;
  };
  /** In the order of their paths' bytes. */
  readonly files: readonly PackagedFile[];
}

/** The text of a package's MANIFEST.json; docs/delivery-packages.md describes it. */
export function packageManifest(facts: PackageFacts): string {
  const { name, manifest, commit, tree, digest, archive, files } = facts;
  const dependencies = [...manifest.dependencies].sort(([a], [b]) => (a < b ? -1 : 1));
  const value = {
    manifest_version: 1,
    alias: manifest.alias,
    name,
    version: manifest.version,
    sha256: digest,
    file_count: files.length,
    size_bytes: files.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
    commit,
    tree,
    platform: manifest.platformRange ?? null,
    dependencies: Object.fromEntries(dependencies),
    archive,
    files,
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}
