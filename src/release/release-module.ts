import { badInput } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import type { FoundArtifact, PackagedModule, Registry } from '../source/registry/registry.ts';
import {
  findEverywhere,
  type Placement,
  publishEverywhere,
  requireEverywhere,
} from './publish-everywhere.ts';
import { type RecordedArtifact, recordArtifact } from './record-artifact.ts';
import { type PlacedArtifact, type ReleaseForge, releaseEntry } from './release-entry.ts';

export interface ReleaseParts {
  readonly repository: GitRepository;
  /** The preferred one first: locks name it. */
  readonly registries: readonly Registry[];
  readonly forges: readonly ReleaseForge[];
  /** Only looks. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** What is released. */
export interface ReleaseSubject {
  readonly module: PackagedModule;
  /** Content digest, `sha256:<hex>`: what locks pin. */
  readonly contentDigest: string;
  /** The commit that it was packaged from. */
  readonly commit: string | undefined;
  /** The changelog's text for the version. */
  readonly section: string | undefined;
}

export interface ReleaseReport {
  readonly registries: readonly Placement[];
  readonly entries: readonly {
    readonly forge: string;
    /** Undefined: it was not looked at (`--dry-run`). */
    readonly outcome: 'created' | 'completed' | 'same' | undefined;
  }[];
  readonly locks: readonly RecordedArtifact[];
}

/**
 * Publishes a package to every registry, then makes its release entries, then writes where it is into the
 * locks of the work tree. Each step leaves what is done already, so a failure is gone on from by the same again.
 *
 * @throws RinglockError `no-registry`, `version-published`, `release-incomplete`, `forge-…`
 */
export async function releaseModule(
  parts: ReleaseParts,
  subject: ReleaseSubject,
): Promise<ReleaseReport> {
  const { registries, forges, dryRun, signal } = parts;
  const { module } = subject;
  requireRegistries(registries);
  const placements = dryRun
    ? await findEverywhere(registries, module)
    : await publishEverywhere(registries, module, signal);
  requireEverywhere(module, placements);
  const placed = placements.flatMap(({ registry, artifact }) =>
    artifact === undefined ? [] : [{ registry, artifact }],
  );
  const entry = releaseEntry(module, subject.section, placed, subject.commit);
  const entries = [];
  for (const forge of forges) {
    const outcome = dryRun ? undefined : await forge.ensure(entry, signal);
    entries.push({ forge: forge.display, outcome });
  }
  return { registries: placements, entries, locks: await record(parts, subject, placed) };
}

function requireRegistries(registries: readonly Registry[]): void {
  if (registries.length > 0) return;
  throw badInput('no-registry', 'manifests/ringlock.yaml names no registry to release to', {
    hint: 'Add one under `registries`, as - {kind: directory, url: /srv/packages}, or set MODULE_REGISTRY_URL.',
  });
}

async function record(
  { repository, dryRun }: ReleaseParts,
  { module, contentDigest }: ReleaseSubject,
  placed: readonly PlacedArtifact[],
): Promise<readonly RecordedArtifact[]> {
  const artifact = artifactForLocks(placed);
  if (artifact === undefined) return [];
  const pin = { alias: module.alias, version: module.version, sha256: contentDigest };
  return recordArtifact(repository, pin, artifact, { write: !dryRun });
}

/** The preferred registry's; where that keeps no time, the first time that any has. */
function artifactForLocks(placed: readonly PlacedArtifact[]): FoundArtifact | undefined {
  const [first] = placed;
  if (first === undefined) return undefined;
  const times = placed.flatMap(({ artifact }) => artifact.released_at ?? []).sort();
  return { ...first.artifact, released_at: first.artifact.released_at ?? times[0] ?? null };
}
