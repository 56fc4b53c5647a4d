import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { GitRepository } from '../../git/git-command.ts';
import type { PackageContents } from '../../git/package-source.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { parseModuleManifest } from '../../repo/module-manifest.ts';
import { writeFileAtomically } from '../../store/atomic-file.ts';

/** What a package was found to hold, as it is kept: module.json unparsed. */
export interface KeptPackage extends Omit<PackageContents, 'manifest'> {
  readonly manifestText: string;
}

/**
 * What packages hold that were downloaded and verified once, by the digest of their archive: a digest names
 * one content for ever. A local file each, which may be deleted at any time.
 */
export interface PackageCache {
  /** Undefined for one that is not kept, or not to be read. */
  get(artifact: LockArtifact): Promise<KeptPackage | undefined>;
  /** A cache that cannot be written costs time, nothing else. */
  put(artifact: LockArtifact, contents: KeptPackage): Promise<void>;
}

/** Raise it with every change to what an archive may be, to what is digested, or to what is kept here. */
const format = 1;
const mostKept = 128;
/** Of a file; the names of 100,000 files need more, and are downloaded each time. */
const mostBytes = 4 * 1024 * 1024;

export function packageCacheDirectory({ commonDir }: Pick<GitRepository, 'commonDir'>): string {
  return join(commonDir, 'ringlock', 'packages');
}

export function openPackageCache(directory: string): PackageCache {
  const fileOf = ({ sha256 }: LockArtifact) => {
    const hex = /^sha256:([0-9a-f]{64})$/.exec(sha256)?.[1];
    return hex && join(directory, `${hex}.json`);
  };
  return {
    get: async (artifact) => {
      const file = fileOf(artifact);
      return file === undefined ? undefined : readKept(file, artifact);
    },
    put: async (artifact, contents) => {
      const file = fileOf(artifact);
      const text = JSON.stringify({
        ...{ format, artifact_bytes: artifact.size_bytes },
        ...{ ...contents, files: [...contents.files] },
      });
      if (file === undefined || Buffer.byteLength(text) > mostBytes) return;
      try {
        await mkdir(directory, { recursive: true });
        await writeFileAtomically(file, text);
        await removeOldest(directory);
      } catch {
        // A read-only git directory: the next run downloads again.
      }
    },
  };
}

async function readKept(file: string, artifact: LockArtifact): Promise<KeptPackage | undefined> {
  try {
    const kept = JSON.parse(await readFile(file, 'utf8'));
    if (kept.format !== format || kept.artifact_bytes !== artifact.size_bytes) return undefined;
    const { manifestText, sha256, fileCount, sizeBytes, changelog } = kept;
    const files: PackageContents['files'] = new Map(kept.files);
    if (!/^sha256:[0-9a-f]{64}$/.test(sha256) || files.size !== fileCount) return undefined;
    parseModuleManifest(manifestText, file);
    const now = new Date();
    await utimes(file, now, now).catch(() => {});
    return { manifestText, sha256, fileCount, sizeBytes, files, changelog };
  } catch {
    return undefined;
  }
}

async function removeOldest(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.json'));
  if (names.length <= mostKept) return;
  const used = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(directory, name))).mtimeMs })),
  );
  const oldest = used.sort((a, b) => a.at - b.at).slice(0, names.length - mostKept);
  for (const { name } of oldest) await rm(join(directory, name), { force: true });
}
