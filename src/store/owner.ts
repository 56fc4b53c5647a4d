import { randomUUID } from 'node:crypto';
import { readdir, readFile, readlink, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { environmentFailed } from '../errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { isAbsent } from './disk-error.ts';
import { ownersPath } from './layout.ts';

/** A process's sole right to a root. */
export interface Owner {
  /** Whether a process had it that did not give it up: killed, or out of memory. */
  readonly tookOver: boolean;
  /** @throws RinglockError `root-lost` when another process took over (this one was stopped for long) */
  requireOwned(): Promise<void>;
  release(): Promise<void>;
}

interface Claim {
  readonly pid: number;
  readonly host: string;
  /** Kernel boot and PID namespace: where a pid means the same process; null where there is no /proc. */
  readonly namespace: string | null;
  /** Start of the process in clock ticks since boot, so that a reused pid is another process. */
  readonly started: string | null;
  readonly since: string;
}

/**
 * Takes a root for this process. Each process puts down a claim of its own name, then looks at all
 * others: of two at once, the later look sees the other's claim, so both never win; and since names
 * are unique, removing a dead claim never removes a live one.
 *
 * A claim of this machine is judged by pid and start time. One from elsewhere (another container or
 * host, where pids mean nothing here) is dead when its file is not touched for `3 × heartbeatMs`,
 * which costs at most that long to see.
 *
 * @throws RinglockError `root-owned`, naming the owner's pid and host
 */
export async function takeRoot(root: string, heartbeatMs = 3000): Promise<Owner> {
  const directory = ownersPath(root);
  let tookOver = false;
  for (let attempt = 1; ; attempt++) {
    const path = join(directory, `${randomUUID()}.json`);
    await writeFileAtomically(path, `${JSON.stringify(await ownClaim())}\n`, { mode: 0o644 });
    const { rival, dead } = await lookAtOthers(directory, path, heartbeatMs * 3);
    tookOver ||= dead > 0;
    if (rival === undefined) return keepClaim(root, path, heartbeatMs, tookOver);
    await rm(path, { force: true });
    if (attempt === 4) throw rootOwned(root, rival);
    // Two that started at once have both withdrawn; unequal waits let one through.
    await delay(10 + Math.random() * 50 * attempt);
  }
}

/** Whether another process owns a root now. Costs a wait only for a claim from another machine. */
export async function isRootOwned(root: string, heartbeatMs = 3000): Promise<boolean> {
  const directory = ownersPath(root);
  const probe = join(directory, `.${randomUUID()}.probe`);
  try {
    if ((await readdir(directory)).length === 0) return false;
    await writeFileAtomically(probe, '', { mode: 0o644 });
    return (await lookAtOthers(directory, probe, heartbeatMs * 3)).rival !== undefined;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  } finally {
    await rm(probe, { force: true });
  }
}

function rootOwned(root: string, rival: Claim) {
  return environmentFailed(
    'root-owned',
    `${root} is owned by process ${rival.pid} on ${rival.host} since ${rival.since}`,
    { hint: 'One reconciler owns a root: stop that one, or give this one a directory of its own.' },
  );
}

async function ownClaim(): Promise<Claim> {
  return {
    pid: process.pid,
    host: hostname(),
    namespace: await processNamespace(),
    started: (await processStart(process.pid)) ?? null,
    since: new Date().toISOString(),
  };
}

/** Kernel boot and PID namespace: where a pid means the same process; null where there is no /proc. */
export async function processNamespace(): Promise<string | null> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    return `${boot.trim()} ${await readlink('/proc/self/ns/pid')}`;
  } catch {
    return null;
  }
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined for a process that is gone or a zombie. */
async function processStart(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may itself hold spaces and parentheses; the state follows it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The first live claim that is another's; dead ones are counted, and removed. */
async function lookAtOthers(
  directory: string,
  own: string,
  staleMs: number,
): Promise<{ readonly rival: Claim | undefined; readonly dead: number }> {
  let dead = 0;
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (path === own) continue;
    const claim = await readClaim(path);
    if (claim === undefined) {
      // Being written this instant, or left by a crash in that instant.
      if (!(await isTouchedWithin(path, own, staleMs))) await rm(path, { force: true });
    } else if (await isAlive(claim, path, own, staleMs)) return { rival: claim, dead };
    else {
      await rm(path, { force: true });
      dead += 1;
    }
  }
  return { rival: undefined, dead };
}

async function readClaim(path: string): Promise<Claim | undefined> {
  if (!path.endsWith('.json')) return undefined;
  try {
    const claim = JSON.parse(await readFile(path, 'utf8')) as Claim;
    return Number.isInteger(claim.pid) ? claim : undefined;
  } catch {
    return undefined;
  }
}

async function isAlive(claim: Claim, path: string, own: string, staleMs: number): Promise<boolean> {
  const namespace = await processNamespace();
  if (namespace !== null && claim.namespace === namespace) {
    const started = await processStart(claim.pid);
    return started !== undefined && started === claim.started;
  }
  if (namespace === null && claim.host === hostname() && !processExists(claim.pid)) return false;
  return (await isTouchedWithin(path, own, staleMs)) && (await isTouchedAgain(path, staleMs));
}

export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Compared with our own claim's time, since the file system's clock need not be ours. */
async function isTouchedWithin(path: string, own: string, ms: number): Promise<boolean> {
  try {
    await utimes(own, new Date(), new Date());
    return (await stat(own)).mtimeMs - (await stat(path)).mtimeMs < ms;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

async function isTouchedAgain(path: string, withinMs: number): Promise<boolean> {
  try {
    const first = (await stat(path)).mtimeMs;
    const deadline = performance.now() + withinMs;
    while (performance.now() < deadline) {
      await delay(Math.min(250, withinMs / 4));
      if ((await stat(path)).mtimeMs !== first) return true;
    }
    return false;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

function keepClaim(root: string, path: string, heartbeatMs: number, tookOver: boolean): Owner {
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // Whether it is still there is asked before each change.
  }, heartbeatMs);
  heartbeat.unref();
  return {
    tookOver,
    requireOwned: async () => {
      const isHeld = await stat(path).then(
        () => true,
        () => false,
      );
      if (!isHeld) {
        throw environmentFailed(
          'root-lost',
          `${root} is no longer owned by this process (${process.pid}): its claim ${path} is gone`,
          { hint: 'Another reconciler took the root while this one was stopped; end one of them.' },
        );
      }
    },
    release: async () => {
      clearInterval(heartbeat);
      await rm(path, { force: true });
    },
  };
}
