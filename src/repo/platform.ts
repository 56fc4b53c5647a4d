import semver from 'semver';
import { badInput } from '../errors.ts';
import { platformFile } from './names.ts';

/**
 * The platform's version: the one line of `VERSION`.
 *
 * @throws RinglockError `invalid-platform-version`
 */
export function parsePlatformVersion(text: string, file = platformFile): string {
  const version = text.trim();
  if (semver.valid(version) !== version || version.includes('+')) {
    throw badInput(
      'invalid-platform-version',
      `${file}:1: the platform version is ${JSON.stringify(version)}, expected one line with a semantic version such as 2.0.0, without +build metadata`,
    );
  }
  return version;
}

/**
 * Whether a version lies in a range, prereleases included: platform 2.1.0-beta.1 satisfies
 * `>=2.0.0 <3.0.0`, and 2.0.0-beta.1 does not satisfy `^2.0.0`, since it precedes 2.0.0.
 */
export type RangeTest = (version: string, range: string) => boolean;

export const satisfies: RangeTest = (version, range) =>
  semver.satisfies(version, range, { includePrerelease: true });

/**
 * A RangeTest that parses each version and each range once: in a platform of 10,000 modules the same
 * few of them are asked for over and over.
 */
export function createRangeTest(): RangeTest {
  const versions = new Map<string, semver.SemVer>();
  const ranges = new Map<string, semver.Range>();
  return (version, range) => {
    const parsedVersion = versions.get(version) ?? new semver.SemVer(version);
    const parsedRange = ranges.get(range) ?? new semver.Range(range, { includePrerelease: true });
    versions.set(version, parsedVersion);
    ranges.set(range, parsedRange);
    return parsedRange.test(parsedVersion);
  };
}
