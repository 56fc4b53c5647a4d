import pLimit from 'p-limit';
import { badInput, RinglockError, refused } from '../errors.ts';
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
  /**
   * `unreleased`: no registry has the version; `other-bytes`: one has, and it is another package; `failed`:
   * it could not be found out.
   */
  readonly outcome: 'written' | 'unreleased' | 'other-bytes' | 'failed';
  /** Of `other-bytes` and `failed`. */
  readonly error: RinglockError | undefined;
  readonly artifact: FoundArtifact | undefined;
  readonly locks: readonly RecordedArtifact[];
}

/**
 * Writes where packages are into locks that do not say it, from the registries. A package is taken for a
 * pin's when it is, byte for byte, what packaging that pin gives: nothing is downloaded. One pin's failure is
 * its own, the others are completed.
 *
 * @throws RinglockError `unknown-ring`, `no-registry`
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
  const limit = pLimit(askedAtOnce);
  const asked = openPins(files, request).map((pin) => ({
    pin,
    found: limit(() => findPublished(registries, pin)),
  }));
  // Whatever fails is said below, at its pin's turn.
  for (const { found } of asked) found.catch(() => {});
  const completed: CompletedArtifact[] = [];
  for (const { pin, found } of asked) completed.push(await complete(repository, pin, found));
  return completed;
}

/** A registry that is away is waited for at each pin. */
const askedAtOnce = 8;

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
  pin: ReleasedPin,
  published: Promise<FoundArtifact | undefined>,
): Promise<CompletedArtifact> {
  const { alias, version } = pin;
  const none = { ...pin, artifact: undefined, locks: [], error: undefined };
  try {
    const artifact = await published;
    if (artifact === undefined) return { ...none, outcome: 'unreleased' };
    const made = await packageModule(repository, `${alias}@${version}`);
    if (made.contentDigest !== pin.sha256 || made.sha256 !== artifact.sha256) {
      return { ...none, outcome: 'other-bytes', artifact, error: otherArtifact(pin, artifact) };
    }
    const locks = await recordArtifact(repository, pin, artifact, { write: true });
    return { ...none, outcome: 'written', artifact, locks };
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    return { ...none, outcome: 'failed', error };
  }
}

async function findPublished(
  registries: readonly Registry[],
  { alias, version }: ReleasedPin,
): Promise<FoundArtifact | undefined> {
  try {
    return (await findArtifact(registries, alias, version)).artifact;
  } catch (error) {
    const codes = ['version-not-found', 'module-not-found'];
    if (error instanceof RinglockError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

function otherArtifact({ alias, version }: ReleasedPin, { url, sha256 }: FoundArtifact) {
  return refused(
    'other-artifact',
    `the package of ${alias} ${version} at ${url} (${sha256}) is another than the lock's bytes give`,
    {
      hint: 'Either the version was published from other bytes, or by a ringlock that packs differently: `ringlock release` of the version says which; its lock entries stay without artifact.',
    },
  );
}
