import semver from 'semver';
import { RinglockError } from '../errors.ts';
import type { GitRepository } from './git-command.ts';
import { listModules } from './list-modules.ts';
import { findVersions } from './module-versions.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';

/** Where versions are published, as far as listing them needs it. */
export interface VersionRegistry {
  /** What people call it; no credentials are in it. */
  readonly display: string;
  versions(alias: string): Promise<readonly string[]>;
}

export interface AvailableVersion {
  readonly alias: string;
  readonly version: string;
  /** Whether a branch or tag of this repository has it. */
  readonly git: boolean;
  /** Registries that have it. */
  readonly registries: readonly string[];
  /** Rings whose locks pin it. */
  readonly rings: readonly string[];
}

export interface AvailableVersions {
  /** By alias, the highest version first. */
  readonly versions: readonly AvailableVersion[];
  /** Registries that could not be asked, with the reason: what they have is missing above. */
  readonly unanswered: readonly { readonly registry: string; readonly message: string }[];
}

/**
 * Every version of each module that git or a registry has, with the rings that run it.
 *
 * @param ring only the modules of this ring's lock
 * @throws RinglockError `unknown-ring`, and what the locks' parser throws
 */
export async function listAvailable(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  registries: readonly VersionRegistry[],
  ring: string | undefined,
): Promise<AvailableVersions> {
  const { modules } = listModules(snapshot, ring);
  const pins = new Map(
    listModules(snapshot, undefined).modules.map((one) => [one.alias, one.locked]),
  );
  const unanswered = new Map<string, string>();
  const versions: AvailableVersion[] = [];
  for (const { alias } of modules) {
    const inGit = new Set((await findVersions(repository, snapshot, alias)).places.keys());
    const published = await publishedVersions(registries, alias, unanswered);
    const locked = Object.entries(pins.get(alias) ?? {});
    const all = new Set([...inGit, ...published.keys(), ...locked.map(([, version]) => version)]);
    for (const version of [...all].sort(semver.rcompare)) {
      const rings = locked.filter(([, pinned]) => pinned === version).map(([name]) => name);
      const from = published.get(version) ?? [];
      versions.push({ alias, version, git: inGit.has(version), registries: from, rings });
    }
  }
  const missing = [...unanswered].map(([registry, message]) => ({ registry, message }));
  return { versions, unanswered: missing };
}

/** A registry that does not answer is asked once, not once for each module. */
async function publishedVersions(
  registries: readonly VersionRegistry[],
  alias: string,
  unanswered: Map<string, string>,
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const registry of registries) {
    const { display } = registry;
    if (unanswered.has(display)) continue;
    try {
      for (const version of await registry.versions(alias)) {
        if (semver.valid(version) === null) continue;
        found.set(version, [...(found.get(version) ?? []), display]);
      }
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      unanswered.set(display, error.message);
    }
  }
  return found;
}
