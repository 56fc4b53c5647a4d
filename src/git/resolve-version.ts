import { nameRefusal } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import type { LockEntry } from '../repo/lock.ts';
import { sourceOfRepository } from '../repo/module-manifest.ts';
import type { GitRepository } from './git-command.ts';
import {
  entriesIn,
  entryIn,
  findVersions,
  type ModuleVersions,
  type ResolvedVersion,
  resolveVersion,
} from './module-versions.ts';
import type { FoundPackage, PackageContents, PackageSource } from './package-source.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import { unknownModule } from './ring-selection.ts';

/**
 * Reads one version's bytes: from git where git has it, else from the first registry that does. Nothing of a
 * package is believed that its bytes do not say.
 *
 * @throws RinglockError what resolveVersion() throws; `unknown-module` for what is nowhere at all;
 *   `package-mismatch` for a package of something else, `released-bytes-differ`, `directory-taken`,
 *   `invalid-module-directory`, and what
 *   PackageSource throws
 */
export async function resolveAnywhere(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  alias: string,
  version: string,
  packages: PackageSource,
): Promise<ResolvedVersion> {
  const versions = await findVersions(repository, snapshot, alias);
  if (versions.places.has(version)) return resolveVersion(repository, snapshot, versions, version);
  const found = await packages.find(alias, version);
  if (found !== undefined) return resolvePackage(snapshot, versions, version, found, packages);
  const published = await packages.versions(alias);
  const locked = lockedEntries(snapshot, alias);
  const isKnown = snapshot.modules.has(alias) || versions.places.size > 0 || locked.length > 0;
  if (!isKnown && published.length === 0) throw unknownModule(alias, [...snapshot.modules.keys()]);
  return resolveVersion(repository, snapshot, versions, version, published);
}

async function resolvePackage(
  snapshot: PlatformSnapshot,
  { alias, released }: ModuleVersions,
  version: string,
  found: FoundPackage,
  packages: PackageSource,
): Promise<ResolvedVersion> {
  const contents = await packages.read(alias, version, found.artifact);
  requireSame(alias, version, contents, found);
  const before = released.get(alias)?.get(version);
  const pinned = lockedEntries(snapshot, alias).find((entry) => entry.version === version);
  const expected = before?.sha256 ?? pinned?.sha256;
  if (expected !== undefined && expected !== contents.sha256) {
    throw refused(
      'released-bytes-differ',
      `${alias} ${version} has the digest ${contents.sha256} in ${found.display}, it was released with ${expected}`,
      {
        hint: "A version's bytes never change: pin another version, or ask whoever published it.",
        details: { alias, version, found: contents.sha256, released: expected },
      },
    );
  }
  const { manifest, sha256, fileCount, sizeBytes } = contents;
  const entry: LockEntry = {
    version,
    directory: directoryOf(snapshot, alias, found),
    source: sourceOfRepository(manifest.repository),
    tree: null,
    artifact: found.artifact,
    sha256,
    file_count: fileCount,
    size_bytes: sizeBytes,
    released_at: found.released_at,
  };
  return { entry, manifest, commit: undefined, needsTag: false };
}

function requireSame(
  alias: string,
  version: string,
  { manifest }: PackageContents,
  { display }: FoundPackage,
): void {
  if (manifest.alias === alias && manifest.version === version) return;
  throw refused(
    'package-mismatch',
    `the package of ${alias} ${version} in ${display} holds ${manifest.alias} ${manifest.version}, expected ${alias} ${version}`,
    { hint: 'It was published under a wrong name: ask whoever published it.' },
  );
}

/** Where it is or was in a lock or in modules/, else what its package's files are called, else the alias. */
function directoryOf(
  snapshot: PlatformSnapshot,
  alias: string,
  { name, display }: FoundPackage,
): string {
  const locked = lockedEntries(snapshot, alias).find(({ directory }) => directory !== null);
  const known = locked?.directory ?? snapshot.modules.get(alias)?.directory;
  if (known) return known;
  const directory = name !== undefined && /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) ? name : alias;
  const reason = nameRefusal(directory);
  if (reason !== undefined) {
    throw refused(
      'invalid-module-directory',
      `the package of ${alias} in ${display} goes to the directory ${directory}, which ${reason}`,
      { hint: 'No pod would install it: its publisher has to name it otherwise.' },
    );
  }
  const owner = ownerOf(snapshot, directory);
  if (owner === undefined) return directory;
  throw refused(
    'directory-taken',
    `the package of ${alias} in ${display} goes to the directory ${directory}, which is ${owner}'s`,
    { hint: 'Two modules cannot share a directory: its publisher has to name it otherwise.' },
  );
}

function ownerOf({ modules, lockTexts }: PlatformSnapshot, wanted: string): string | undefined {
  // Also disks that take a and A for one; and no module stands in another's directory.
  const isIt = (directory: string | null) =>
    directory !== null && `${directory.toLowerCase()}/`.startsWith(`${wanted.toLowerCase()}/`);
  for (const { alias, directory } of modules.values()) if (isIt(directory)) return alias;
  for (const [ring, text] of lockTexts) {
    for (const [alias, { directory }] of entriesIn(text, ring)) if (isIt(directory)) return alias;
  }
  return undefined;
}

function lockedEntries({ lockTexts }: PlatformSnapshot, alias: string): LockEntry[] {
  return [...lockTexts].flatMap(([ring, text]) => entryIn(text, ring, alias) ?? []);
}
