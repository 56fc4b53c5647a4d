import { setTimeout as delay } from 'node:timers/promises';
import { environmentFailed } from '../errors.ts';
import { readCurrentGeneration } from '../store/generation.ts';
import { readStatus } from '../store/status-file.ts';

/** How long a switch may take whose versions are on the disk, in ms. */
const switchedWithinMs = 120_000;

/**
 * Waits until a root serves a version.
 *
 * @returns the number of the generation
 * @throws RinglockError `not-switched`, with what the reconciler says
 */
export async function waitForVersion(
  root: string,
  alias: string,
  version: string,
): Promise<number> {
  const until = performance.now() + switchedWithinMs;
  for (;;) {
    const current = await readCurrentGeneration(root);
    if (current?.lock.modules.get(alias)?.version === version) return current.number;
    if (performance.now() > until) {
      const status = await readStatus(root);
      throw environmentFailed(
        'not-switched',
        `${root} does not serve ${alias} ${version} yet: ${status?.last_error?.message ?? `it is ${status?.state}`}`,
        { hint: 'The hold stands; look at ringlock status.' },
      );
    }
    await delay(50);
  }
}
