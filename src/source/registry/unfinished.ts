import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { processExists, processNamespace } from '../../store/owner.ts';

/** What is being written says by its name what it will be and whose it is: `.<name>.<machine>-<pid>.<random>.tmp`. */
const pattern = /^\..+?\.(?:([0-9a-f]{8})-(\d{1,10})\.)?[0-9a-f]{12}\.tmp$/;

/** However slow the disk, nobody writes a package for so long, in ms. */
const longestWriteMs = 24 * 3_600_000;

/** A name for what will be called `name`, that no other process takes. */
export async function unfinishedName(name: string): Promise<string> {
  const machine = await machineName();
  const owner = machine === undefined ? '' : `${machine}-${process.pid}.`;
  return `.${name}.${owner}${randomBytes(6).toString('hex')}.tmp`;
}

/**
 * Deletes what killed publishers left in a directory: of a process of this machine that is gone, and whatever
 * has not changed for a day, since the processes of other machines are not known here. What cannot be deleted
 * stays: it is in nobody's way.
 */
export async function sweepUnfinished(directory: string): Promise<void> {
  const machine = await machineName();
  for (const name of await readdir(directory).catch(() => [])) {
    const [isOurs, owner, pid] = pattern.exec(name) ?? [];
    if (isOurs === undefined) continue;
    const path = join(directory, name);
    const isGone = machine !== undefined && owner === machine && !processExists(Number(pid));
    if (!isGone && !(await isOlder(path))) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

async function isOlder(path: string): Promise<boolean> {
  try {
    // Each file that is begun changes it.
    return Date.now() - (await stat(path)).mtimeMs > longestWriteMs;
  } catch {
    return false;
  }
}

/** Where a pid means the same process; undefined where that is not known. */
async function machineName(): Promise<string | undefined> {
  const namespace = await processNamespace();
  return namespace === null
    ? undefined
    : createHash('sha256').update(namespace).digest('hex').slice(0, 8);
}
