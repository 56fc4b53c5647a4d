import { badInput, refused } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { type ManifestFiles, readManifestFiles, requireRing } from '../git/manifest-files.ts';
import { type Lock, parseLock, samePin } from '../repo/lock.ts';
import { hasConflictMarkers } from '../repo/source-text.ts';
import { findArtifact } from '../source/registry/find-artifact.ts';
import { openRegistries } from '../source/registry/open-registries.ts';
import type { FoundArtifact, Registry } from '../source/registry/registry.ts';
import { packageModule } from './package-module.ts';
import { type RecordedArtifact, type ReleasedPin, recordArtifact } from './record-artifact.ts';

export interface ArtifactRequest {
  /** Undefined: every ring. */
  readonly ring: string | undefined;
  /** Undefined: every module. */
  readonly alias: string | undefined;
}

export interface CompletedArtifact extends ReleasedPin {
  /** `unreleased`: no registry has the version; `other-bytes`: one has, and it is another package. */
  readonly outcome: 'written' | 'unreleased' | 'other-bytes';
  readonly artifact: FoundArtifact | undefined;
  readonly locks: readonly RecordedArtifact[];
}

/**
 * Writes where packages are into locks that do not say it, from the registries. A package is taken for a
 * pin's when it is, byte for byte, what packaging that pin gives: nothing is downloaded.
 *
 * @throws RinglockError `unknown-ring`, `no-registry`, `registries-away`
 */
export async function completeArtifacts(
  repository: GitRepository,
  environment: NodeJS.ProcessEnv,
  request: ArtifactRequest,
): Promise<readonly CompletedArtifact[]> {
  const files = await readManifestFiles(repository);
  const sources = sourcesOf(files);
  const registries = openRegistries(files.settings, environment, {
    sourceOf: (alias) => sources.get(alias),
  });
  if (registries.length === 0) {
    throw badInput('no-registry', 'manifests/ringlock.yaml names no registry to look in');
  }
  const completed: CompletedArtifact[] = [];
  for (const pin of openPins(files, request)) {
    completed.push(await complete(repository, registries, pin));
  }
  return completed;
}

/** Each module's mirror, as any lock says it. */
function sourcesOf(files: ManifestFiles): ReadonlyMap<string, string | null> {
  const locks = lockList(files).flatMap(({ modules }) => [...modules]);
  return new Map(locks.map(([alias, { source }]) => [alias, source]));
}

/** What locks pin without saying where its package is, each once. */
function openPins(
  files: ManifestFiles,
  { ring: only, alias: onlyAlias }: ArtifactRequest,
): readonly ReleasedPin[] {
  if (only !== undefined) requireRing(files, only);
  const pins: ReleasedPin[] = [];
  for (const { ring, modules } of lockList(files)) {
    if (only !== undefined && ring !== only) continue;
    for (const [alias, entry] of modules) {
      if (entry.artifact !== null || (onlyAlias !== undefined && alias !== onlyAlias)) continue;
      if (pins.some((pin) => pin.alias === alias && samePin(pin, entry))) continue;
      pins.push({ alias, version: entry.version, sha256: entry.sha256 });
    }
  }
  return pins;
}

/** The locks of rings, but those in the middle of a merge. */
function lockList({ lockTexts, rings }: ManifestFiles): readonly Lock[] {
  return [...lockTexts]
    .filter(([ring, text]) => rings.has(ring) && !hasConflictMarkers(text))
    .map(([ring, text]) => parseLock(text, ring));
}

async function complete(
  repository: GitRepository,
  registries: readonly Registry[],
  pin: ReleasedPin,
): Promise<CompletedArtifact> {
  const { alias, version } = pin;
  const found = await findArtifact(registries, alias, version).catch((error) => {
    if (error?.code === 'version-not-found' || error?.code === 'module-not-found') return undefined;
    throw error;
  });
  if (found === undefined) {
    return { ...pin, outcome: 'unreleased', artifact: undefined, locks: [] };
  }
  const { artifact } = found;
  const made = await packageModule(repository, `${alias}@${version}`);
  if (made.contentDigest !== pin.sha256 || made.sha256 !== artifact.sha256) {
    return { ...pin, outcome: 'other-bytes', artifact, locks: [] };
  }
  const locks = await recordArtifact(repository, pin, artifact, { write: true });
  return { ...pin, outcome: 'written', artifact, locks };
}

/** The error for registries that have other packages than what locks pin. */
export function requireSameBytes(completed: readonly CompletedArtifact[]): void {
  const others = completed.filter(({ outcome }) => outcome === 'other-bytes');
  if (others.length === 0) return;
  const lines = others.map(
    ({ alias, version, artifact }) =>
      `  ${alias} ${version}: ${artifact?.url} (${artifact?.sha256})`,
  );
  throw refused(
    'other-artifact',
    `a registry has another package under a version than the lock's bytes give:\n${lines.join('\n')}`,
    {
      hint: 'Either the version was published from other bytes, or by a ringlock that packs differently: `ringlock release` of the version says which; its lock entries stay without artifact.',
    },
  );
}
