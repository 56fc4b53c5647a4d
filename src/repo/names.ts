import { badInput } from '../errors.ts';

const aliasPattern = /^[a-z][a-z0-9-]{0,62}$/;

/** Whether text may be a module's alias or a ring's name (they share one rule). */
export function isAlias(text: string): boolean {
  return aliasPattern.test(text);
}

/** @throws RinglockError `invalid-ring-name` */
export function requireRingName(text: string): string {
  if (!isAlias(text)) {
    throw badInput(
      'invalid-ring-name',
      `${JSON.stringify(text)} is not a ring name, expected a lower-case letter, then up to 62 lower-case letters, digits or hyphens`,
    );
  }
  return text;
}

export const platformFile = 'VERSION';
export const manifestsDirectory = 'manifests';
export const settingsFile = 'manifests/ringlock.yaml';
export const tenantsFile = 'manifests/tenants.yaml';
export const schemaDirectory = 'manifests/schema';

export function lockFile(ring: string): string {
  return `manifests/${ring}.lock.json`;
}

export function ringFile(ring: string): string {
  return `manifests/${ring}.ring.yaml`;
}

/** The ring that a committed path is the lock of, or undefined. */
export function ringOfLockFile(path: string): string | undefined {
  return /^manifests\/([a-z][a-z0-9-]{0,62})\.lock\.json$/.exec(path)?.[1];
}

/** The ring that a committed path is the definition of, or undefined. */
export function ringOfRingFile(path: string): string | undefined {
  return /^manifests\/([a-z][a-z0-9-]{0,62})\.ring\.yaml$/.exec(path)?.[1];
}
