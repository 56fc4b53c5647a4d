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
export function satisfies(version: string, range: string): boolean {
  return semver.satisfies(version, range, { includePrerelease: true });
}
