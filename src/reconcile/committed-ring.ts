import { refused } from '../errors.ts';
import type { CommittedPlatform } from '../git/committed-files.ts';
import { type Lock, parseLock } from '../repo/lock.ts';
import { lockFile, ringFile, ringOfRingFile, settingsFile } from '../repo/names.ts';
import { parseRingFile, type Ring } from '../repo/ring.ts';
import { defaultSettings, parseSettings, type Settings } from '../repo/settings.ts';
import { moduleDirectories } from '../store/layout.ts';

/** What one commit says of one ring. */
export interface CommittedRing {
  readonly lock: Lock;
  readonly ring: Ring;
  readonly settings: Settings;
}

/**
 * Reads a ring's lock, definition and settings out of a commit's `manifests/`.
 *
 * @throws RinglockError `ring-missing` or `lock-missing` (never read as "remove everything"),
 *   `newer-lock-version`, `invalid-file`, `directory-clash`, …
 */
export async function readCommittedRing(
  platform: CommittedPlatform,
  ringName: string,
): Promise<CommittedRing> {
  const where = `commit ${platform.commit.oid.slice(0, 12)}`;
  const ringText = await platform.readText(ringFile(ringName));
  if (ringText === undefined) {
    const there = platform.manifestPaths.flatMap((path) => ringOfRingFile(path) ?? []);
    throw refused('ring-missing', `${where} has no ${ringFile(ringName)}: the ring is not there`, {
      hint: `Rings there: ${there.sort().join(', ') || 'none'}. Nothing is removed because of this.`,
    });
  }
  const lockText = await platform.readText(lockFile(ringName));
  if (lockText === undefined) {
    throw refused('lock-missing', `${where} has no ${lockFile(ringName)}`, {
      hint: `Nothing is removed because of this. Write it with: ringlock lock --ring ${ringName}`,
    });
  }
  const lock = parseLock(lockText, ringName);
  // Now, and not when everything else has been done for it.
  moduleDirectories(lock);
  const settingsText = await platform.readText(settingsFile);
  return {
    ring: parseRingFile(ringText, ringName).ring,
    lock,
    settings: settingsText === undefined ? defaultSettings : parseSettings(settingsText),
  };
}
