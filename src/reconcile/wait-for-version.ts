import { setTimeout as delay } from 'node:timers/promises';
import { RinglockError } from '../errors.ts';
import type { LockEntry } from '../repo/lock.ts';
import { readCurrentGeneration } from '../store/generation.ts';
import { readStatus } from '../store/status-file.ts';

/**
 * Waits until a root serves exactly these bytes of a version.
 *
 * @returns the number of the generation
 * @throws RinglockError `not-switched`, with what the reconciler says: exit code 1 where it refuses
 */
export async function waitForVersion(
  root: string,
  alias: string,
  { version, sha256 }: Pick<LockEntry, 'version' | 'sha256'>,
  withinMs: number,
): Promise<number> {
  const until = performance.now() + withinMs;
  for (;;) {
    const current = await readCurrentGeneration(root);
    const served = current?.lock.modules.get(alias);
    if (current !== undefined && served?.sha256 === sha256 && served.version === version) {
      return current.number;
    }
    if (performance.now() > until) {
      const status = await readStatus(root);
      const reason = status?.last_error?.message ?? `it is ${status?.state}`;
      throw new RinglockError(
        'not-switched',
        status?.state === 'refused' ? 1 : 3,
        `${root} does not serve ${alias} ${version} after ${withinMs / 1000} s: ${reason}`,
        { hint: 'What was held before is held again; give a slow switch more --timeout.' },
      );
    }
    await delay(50);
  }
}
