import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import pLimit from 'p-limit';
import { contentDigest } from '../../digest/content-digest.ts';
import { moduleManifestFile } from '../../digest/module-files.ts';
import { RinglockError, refused } from '../../errors.ts';
import type {
  FoundPackage,
  OpenPackages,
  PackageContents,
  PackagePlatform,
  PackageSource,
} from '../../git/package-source.ts';
import { redactUrl } from '../../redaction.ts';
import { defaultLimits } from '../../repo/limits.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { parseModuleManifest, sourceOfRepository } from '../../repo/module-manifest.ts';
import { readArchive } from '../archive/read-archive.ts';
import { downloadArtifact } from '../artifact/download-artifact.ts';
import type { SourceFile } from '../module-source.ts';
import { findArtifact } from './find-artifact.ts';
import { openRegistries } from './open-registries.ts';
import {
  type KeptPackage,
  openPackageCache,
  type PackageCache,
  packageCacheDirectory,
} from './package-cache.ts';
import type { FoundArtifact, Registry } from './registry.ts';

/** Packages downloaded at once, each with its files in memory one by one. */
const atOnce = 4;

/** The registries that a platform and this process's environment name. */
export const openPackages: OpenPackages = (platform, repository) => {
  const cache = repository && openPackageCache(packageCacheDirectory(repository));
  return registryPackages(platform, process.env, cache);
};

/** The packages of the registries that a platform names; they are opened at the first question. */
function registryPackages(
  { settings, modules }: PackagePlatform,
  environment: NodeJS.ProcessEnv,
  cache: PackageCache | undefined,
): PackageSource {
  const sourceOf = (alias: string) => sourceOfRepository(modules?.get(alias)?.manifest.repository);
  let opened: readonly Registry[] | undefined;
  const registries = () => {
    opened ??= openRegistries(settings, environment, { sourceOf });
    return opened;
  };
  const limit = pLimit(atOnce);
  const { maxFiles } = settings;
  const reading = (alias: string, version: string, artifact: LockArtifact, isPresent: boolean) =>
    limit(() => read(registries(), { alias, version, artifact, isPresent, maxFiles, cache }));
  return {
    versions: (alias) => listVersions(registries, alias),
    find: (alias, version) => find(registries(), alias, version),
    read: (alias, version, artifact) => reading(alias, version, artifact, false),
    readPresent: (alias, version, artifact) => reading(alias, version, artifact, true),
  };
}

async function listVersions(registries: () => readonly Registry[], alias: string) {
  try {
    const found = await Promise.all(registries().map((registry) => registry.versions(alias)));
    return [...new Set(found.flat())];
  } catch (error) {
    if (error instanceof RinglockError) return [];
    throw error;
  }
}

async function find(
  registries: readonly Registry[],
  alias: string,
  version: string,
): Promise<FoundPackage | undefined> {
  try {
    const { registry, artifact } = await findArtifact(registries, alias, version);
    const { url, sha256, size_bytes, released_at } = artifact;
    const { display } = registry;
    const name = fileBase(artifact, version);
    return { artifact: { url, sha256, size_bytes }, released_at, name, display };
  } catch (error) {
    const codes = ['module-not-found', 'version-not-found'];
    if (error instanceof RinglockError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

/** An OCI blob's URL ends with its digest: that names no directory. */
function fileBase({ url }: FoundArtifact, version: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const file = basename(new URL(url).pathname);
  const ending = `-${version}.zip`;
  return file.endsWith(ending) ? file.slice(0, -ending.length) : undefined;
}

interface Reading {
  readonly alias: string;
  readonly version: string;
  readonly artifact: LockArtifact;
  /** Whether the registry has to have it now. */
  readonly isPresent: boolean;
  readonly maxFiles: number;
  readonly cache: PackageCache | undefined;
}

async function read(
  registries: readonly Registry[],
  { alias, version, artifact, isPresent, maxFiles, cache }: Reading,
): Promise<PackageContents> {
  const label = `the package of ${alias} ${version}`;
  const registry = registries.find((each) => each.owns(artifact.url));
  if (registry === undefined) {
    throw refused(
      'no-registry-for-artifact',
      `${label} lies at ${redactUrl(artifact.url)}, which is in no registry of manifests/ringlock.yaml`,
      { hint: 'Name its registry there under `registries`.' },
    );
  }
  const kept = await cache?.get(artifact);
  const isKept = kept !== undefined && kept.fileCount <= maxFiles;
  if (isKept && !(isPresent && (await isAnother(registry, alias, version, artifact)))) {
    return parsed(kept, label);
  }
  const read = await download(registry, artifact, label, maxFiles);
  const contents = parsed(read, label);
  await cache?.put(artifact, read);
  return contents;
}

/** A tag of an OCI registry may name another one, and the pinned bytes be there all the same. */
async function isAnother(
  registry: Registry,
  alias: string,
  version: string,
  { sha256, size_bytes }: LockArtifact,
): Promise<boolean> {
  const found = await registry.find(alias, version);
  return found?.sha256 !== sha256 || found.size_bytes !== size_bytes;
}

function parsed({ manifestText, ...contents }: KeptPackage, label: string): PackageContents {
  const manifest = parseModuleManifest(manifestText, `${label}: ${moduleManifestFile}`);
  return { ...contents, manifest };
}

async function download(
  registry: Registry,
  artifact: LockArtifact,
  label: string,
  maxFiles: number,
): Promise<KeptPackage> {
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-package-'));
  try {
    const path = join(directory, 'package.zip');
    const bytes = registry.read(artifact, new AbortController().signal);
    await downloadArtifact(bytes, artifact, path, { label, limit: defaultLimits.module });
    return await contentsOf(readArchive(path, { label, limits: defaultLimits, maxFiles }), label);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function contentsOf(archive: AsyncIterable<SourceFile>, label: string): Promise<KeptPackage> {
  const digested: { path: string; sha256: string }[] = [];
  const files = new Map<string, { oid: string; size: number }>();
  const texts = new Map<string, string>();
  let sizeBytes = 0;
  for await (const { path, content } of archive) {
    digested.push({ path, sha256: createHash('sha256').update(content).digest('hex') });
    files.set(path, { oid: blobId(content), size: content.length });
    sizeBytes += content.length;
    if (path === moduleManifestFile || path.endsWith('.md')) {
      texts.set(path, Buffer.from(content).toString());
    }
  }
  const manifestText = texts.get(moduleManifestFile);
  if (manifestText === undefined) {
    throw refused('package-mismatch', `${label} has no ${moduleManifestFile}, expected a module`, {
      hint: 'It was not made by ringlock package or release: ask whoever published it.',
    });
  }
  const manifest = parseModuleManifest(manifestText, `${label}: ${moduleManifestFile}`);
  const sha256 = contentDigest(digested);
  const changelog = texts.get(manifest.changelog);
  return { manifestText, sha256, fileCount: files.size, sizeBytes, files, changelog };
}

/** As git names it, so that a package can be compared with a tree. */
function blobId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
