import semver from 'semver';
import { refused } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAlias } from '../../repo/names.ts';
import type { PackagedModule } from './registry.ts';

/** One file of a package. */
export interface PackageFile {
  readonly name: string;
  readonly mediaType: string;
  readonly content: Uint8Array;
}

export const manifestName = 'MANIFEST.json';

export function zipName({ name, version }: Pick<PackagedModule, 'name' | 'version'>): string {
  return `${name}-${version}.zip`;
}

/** Whether a file's name is that of a version's zip, whatever the module's own name. */
export function isZipOf(version: string, file: string): boolean {
  const end = `-${version}.zip`;
  return file.length > end.length && file.endsWith(end) && /^[A-Za-z0-9._-]+$/.test(file);
}

/** The files beside the zip. */
export function filesBesideZip(module: PackagedModule): readonly PackageFile[] {
  const file = zipName(module);
  return [
    {
      name: manifestName,
      mediaType: 'application/json',
      content: Buffer.from(module.manifest),
    },
    {
      name: `${file}.sha256`,
      mediaType: 'text/plain',
      content: Buffer.from(`${module.sha256.replace('sha256:', '')}  ${file}\n`),
    },
  ];
}

/** The digest in a line of sha256sum, as `sha256:<hex>`; undefined when there is none. */
export function digestOfSumFile(text: string): string | undefined {
  const hex = /^\\?([0-9a-f]{64})[ \t*]/i.exec(text)?.[1];
  return hex && `sha256:${hex.toLowerCase()}`;
}

/** Names that a module and a version can have; anything else is in no registry. */
export function canBePublished(alias: string, version: string): boolean {
  return isAlias(alias) && isVersion(version);
}

/** Semver without `+build`, exactly as it is written. */
function isVersion(text: string): boolean {
  return text.length <= 128 && !text.includes('+') && semver.parse(text)?.version === text;
}

/** The versions among names, each once, lowest first. */
export function sortedVersions(names: Iterable<string>): readonly string[] {
  return [...new Set(names)].filter(isVersion).sort(semver.compare);
}

/** The error for other bytes under a version that is there. */
export function versionPublished(
  display: string,
  module: Pick<PackagedModule, 'alias' | 'version' | 'sha256'>,
  present: Pick<LockArtifact, 'sha256'>,
) {
  const { alias, version, sha256 } = module;
  return refused(
    'version-published',
    `${display} has other bytes under ${alias} ${version}: found ${present.sha256}, expected ${sha256} of this package`,
    {
      hint: `A published version never changes: give the module its next version (ringlock bump ${alias}). If this package should be the same, make it from the commit that was released, with the ringlock that released it.`,
      details: { alias, version, found: present.sha256, expected: sha256 },
    },
  );
}
