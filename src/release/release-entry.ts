import semver from 'semver';
import type { FoundArtifact, PackagedModule } from '../source/registry/registry.ts';

/** What a forge shows of a version that was released. */
export interface ReleaseEntry {
  readonly alias: string;
  readonly version: string;
  /** `Orders 1.4.2`. */
  readonly title: string;
  /** Markdown. */
  readonly notes: string;
  /** Where the package is, by people's name of the place; http and https only: forges take no others. */
  readonly links: readonly ReleaseLink[];
  /** The commit of the platform that it was packaged from; undefined where nothing says it. */
  readonly commit: string | undefined;
  readonly isPrerelease: boolean;
}

export interface ReleaseLink {
  readonly name: string;
  readonly url: string;
}

/** A forge on which release entries are made. */
export interface ReleaseForge {
  readonly display: string;
  /**
   * Makes the entry; one that is there gets the links that it lacks, and its notes stay as people left them.
   *
   * @throws RinglockError `forge-…`
   */
  ensure(entry: ReleaseEntry, signal: AbortSignal): Promise<'created' | 'completed' | 'same'>;
}

/** A package where a registry has it. */
export interface PlacedArtifact {
  /** The registry's name for people. */
  readonly registry: string;
  readonly artifact: FoundArtifact;
}

/**
 * @param section the changelog's text for the version; undefined when it has none
 * @param commit the package was made from
 */
export function releaseEntry(
  module: PackagedModule,
  section: string | undefined,
  placed: readonly PlacedArtifact[],
  commit: string | undefined,
): ReleaseEntry {
  const { alias, name, version, sha256, zip } = module;
  const file = `${name}-${version}.zip`;
  const notes = shortened(section) || `${name} ${version}`;
  const links = placed
    .filter(({ artifact }) => /^https?:/.test(artifact.url))
    .map(({ registry, artifact }, index) => ({
      // A forge takes no name twice.
      name: index === 0 ? file : `${file} (${registry})`,
      url: artifact.url,
    }));
  return {
    ...{ alias, version, links, commit },
    title: `${name} ${version}`,
    notes: `${notes}\n\n\`${file}\`: \`${sha256}\`, ${zip.length} bytes`,
    isPrerelease: semver.prerelease(version) !== null,
  };
}

/** GitHub takes 125,000 characters as the text of a release, with links. */
const longestNotes = 100_000;

function shortened(section = ''): string {
  if (section.length <= longestNotes) return section;
  return `${section.slice(0, longestNotes)}\n\n… (cut here: the changelog has all of it)`;
}

/** A project or tag of the settings, with what it stands for put in. */
export function withNames(
  template: string,
  { alias, version }: Pick<ReleaseEntry, 'alias' | 'version'>,
): string {
  return template.replaceAll('{alias}', alias).replaceAll('{version}', version);
}
