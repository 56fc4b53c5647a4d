import semver from 'semver';
import { badInput, refused } from '../errors.ts';
import { type BumpKind, nextFreeVersion, type ReleasedVersions } from './bump-rules.ts';
import type { ModuleManifest } from './module-manifest.ts';
import { satisfies } from './platform.ts';

/** One module's new version. */
export interface ModuleBump {
  readonly alias: string;
  readonly from: string;
  readonly to: string;
  /** Ranges of dependencies that are widened, by alias. */
  readonly ranges: ReadonlyMap<string, string>;
}

/** A dependent whose range the new version leaves. */
export interface BrokenDependent {
  readonly alias: string;
  readonly dependency: string;
  readonly range: string;
  readonly version: string;
}

export interface BumpPlan {
  /** The module that was asked for first, then its dependents. */
  readonly bumps: readonly ModuleBump[];
  /** Left as they are; empty when dependents are bumped too. */
  readonly broken: readonly BrokenDependent[];
}

/**
 * Decides a version bump, and with `dependents` that of every module whose range it leaves: the
 * range is widened to take the new version too, and the module gets its next free patch.
 *
 * @param wanted major, minor, patch, prerelease or a version
 * @throws RinglockError `invalid-version`, `released-version`, `version-not-greater`
 */
export function planBump(
  manifests: ReadonlyMap<string, ModuleManifest>,
  alias: string,
  wanted: string,
  released: ReleasedVersions,
  dependents: boolean,
): BumpPlan {
  const manifest = manifests.get(alias);
  if (manifest === undefined) return { bumps: [], broken: [] };
  const taken = [...(released.get(alias)?.keys() ?? [])];
  const to = nextVersion(alias, manifest.version, wanted, taken);
  const bumps = new Map<string, ModuleBump>([
    [alias, { alias, from: manifest.version, to, ranges: new Map() }],
  ]);
  if (!dependents) return { bumps: [...bumps.values()], broken: brokenBy(manifests, bumps) };
  // A patch of a dependent may in turn leave the range of its own dependents (=1.0.0).
  for (let broken = brokenBy(manifests, bumps); broken.length > 0; ) {
    for (const { alias: dependent, dependency, range, version } of broken) {
      const { version: from } = manifests.get(dependent) ?? { version: '' };
      const known = bumps.get(dependent);
      const next = () => nextFreeVersion(from, 'patch', released.get(dependent)?.keys() ?? []);
      const ranges = new Map(known?.ranges).set(dependency, `${range} || ^${version}`);
      bumps.set(dependent, { alias: dependent, from, to: known?.to ?? next(), ranges });
    }
    broken = brokenBy(manifests, bumps);
  }
  return { bumps: [...bumps.values()], broken: [] };
}

function nextVersion(
  alias: string,
  from: string,
  wanted: string,
  released: readonly string[],
): string {
  if (isBumpKind(wanted)) return nextFreeVersion(from, wanted, released);
  if (semver.valid(wanted) !== wanted || wanted.includes('+')) {
    throw badInput(
      'invalid-version',
      `${JSON.stringify(wanted)} is neither patch, minor, major, prerelease nor a version such as 1.4.2`,
    );
  }
  if (released.includes(wanted)) {
    throw refused('released-version', `${alias} ${wanted} was released before`, {
      hint: `The next free version is ${nextFreeVersion(wanted, 'patch', released)}.`,
    });
  }
  if (!semver.gt(wanted, from)) {
    throw refused(
      'version-not-greater',
      `${alias} is at ${from}, expected a version greater than that, found ${wanted}`,
      {
        hint: 'To go back to a released version, use git revert; to keep a ring at one, `ringlock hold`.',
      },
    );
  }
  return wanted;
}

function isBumpKind(text: string): text is BumpKind {
  return ['major', 'minor', 'patch', 'prerelease'].includes(text);
}

function brokenBy(
  manifests: ReadonlyMap<string, ModuleManifest>,
  bumps: ReadonlyMap<string, ModuleBump>,
): BrokenDependent[] {
  return [...manifests]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([alias, { dependencies }]) =>
      [...dependencies].flatMap(([dependency, written]) => {
        const bump = bumps.get(dependency);
        const range = bumps.get(alias)?.ranges.get(dependency) ?? written;
        // A range that the present version already leaves is not broken by this bump.
        if (bump === undefined || satisfies(bump.to, range) || !satisfies(bump.from, written))
          return [];
        return [{ alias, dependency, range, version: bump.to }];
      }),
    );
}
