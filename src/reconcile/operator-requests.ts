import { existsSync, watch } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import type { LockEntry } from '../repo/lock.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { isAbsent } from '../store/disk-error.ts';

/** What a person asks of a running reconciler, by a file in its root. */
export type OperatorRequest =
  | {
      readonly kind: 'hold';
      readonly alias: string;
      readonly entry: LockEntry;
      readonly reason: string;
      /** Also the steps down that are not marked as safe. */
      readonly withDown: boolean;
    }
  | { readonly kind: 'unhold'; readonly alias: string }
  /** Brings back what the hold of a request replaced, unless something else was said meanwhile. */
  | { readonly kind: 'undo'; readonly alias: string; readonly request: string }
  /** Empty: everything that failed. */
  | { readonly kind: 'retry'; readonly aliases: readonly string[] }
  | { readonly kind: 'abort'; readonly reason: string };

export type FiledRequest = OperatorRequest & {
  /** UUIDv7, also of the event that tells of it: taken again after a kill, it is told once. */
  readonly id: string;
  /** Login of who asked. */
  readonly by: string;
  /** RFC 3339, UTC. */
  readonly at: string;
};

/** Where requests are filed; whoever may write there may operate the root. */
function requestsPath(root: string): string {
  return join(root, 'requests');
}

/** A request on the disk. */
export interface RequestFile {
  readonly id: string;
  readonly path: string;
}

/** Files a request for the reconciler of a root, which takes it at once. */
export async function fileRequest(root: string, request: OperatorRequest): Promise<RequestFile> {
  const filed: FiledRequest = {
    ...request,
    id: uuidv7(),
    by: loginName(),
    at: new Date().toISOString(),
  };
  const path = join(requestsPath(root), `${Date.now()}-${filed.id}.json`);
  await mkdir(requestsPath(root), { recursive: true });
  await writeFileAtomically(path, `${JSON.stringify(filed, null, 2)}\n`, { mode: 0o644 });
  return { id: filed.id, path };
}

/** What a request is called from when a reconciler begins to take it: nobody withdraws it any more. */
const claimedEnd = '.taken';

/** Whether a reconciler has taken a request, and what it asks for is remembered. */
export function isTaken({ path }: RequestFile): boolean {
  return !existsSync(path) && !existsSync(`${path}${claimedEnd}`);
}

/** Takes a request back that no reconciler has begun to take. @returns whether there was such a one */
export async function withdrawRequest({ path }: RequestFile): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Calls `onRequest` when a request is filed, as far as the file system tells; @returns what ends it */
export async function watchRequests(root: string, onRequest: () => void): Promise<() => void> {
  const directory = requestsPath(root);
  try {
    await mkdir(directory, { recursive: true });
    const watcher = watch(directory, (_, name) => {
      if (name?.endsWith('.json') && !name.startsWith('.') && existsSync(join(directory, name))) {
        onRequest();
      }
    });
    watcher.on('error', () => {});
    return () => watcher.close();
  } catch {
    return () => {}; // Every pass looks for itself.
  }
}

/**
 * Requests that wait, oldest first, each with what says that it is done; what is no request is dropped. From
 * here on they are not withdrawn any more: whoever asked can rely on either.
 */
export async function readRequests(
  root: string,
): Promise<{ request: FiledRequest; done: () => Promise<void> }[]> {
  const directory = requestsPath(root);
  const found: { request: FiledRequest; done: () => Promise<void> }[] = [];
  for (const name of (await namesIn(directory)).sort()) {
    const filed = name.endsWith(claimedEnd) ? name.slice(0, -claimedEnd.length) : name;
    if (!filed.endsWith('.json') || filed.startsWith('.')) continue;
    const path = join(directory, `${filed}${claimedEnd}`);
    if (filed === name && !(await claim(join(directory, filed), path))) continue;
    const done = () => rm(path, { force: true });
    const request = await readFiled(path);
    if (request === undefined) await done();
    else found.push({ request, done });
  }
  return found;
}

async function claim(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function readFiled(path: string): Promise<FiledRequest | undefined> {
  try {
    const request = JSON.parse(await readFile(path, 'utf8')) as FiledRequest;
    const isKnown = ['hold', 'unhold', 'undo', 'retry', 'abort'].includes(request.kind);
    const isWhole = typeof request.by === 'string' && uuidPattern.test(request.id);
    return isKnown && isWhole ? request : undefined;
  } catch {
    return undefined;
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

export function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    // A uid without a name, as containers have.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
