import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HttpTransport, type TransportOptions } from './http-transport.ts';
import { openLocalRemote } from './local-remote.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { TaggedRemote } from './remote.ts';
import { openSmartRemote } from './smart-remote.ts';
import { isScpLike } from './ssh/ssh-address.ts';
import { type SshOptions, SshTransport } from './ssh/ssh-transport.ts';
import type { Transport } from './transport.ts';

export interface RemoteOptions extends TransportOptions {
  readonly ssh?: Omit<SshOptions, 'idleTimeoutMs' | 'traffic' | 'signal'> | undefined;
}

/**
 * Opens a repository by URL (https, http to loopback, ssh), `user@host:path` or path (`/path`,
 * `file://`; bare, with a work tree, or a linked work tree). Nothing is asked of it yet.
 *
 * @throws RinglockError `insecure-url`, `unsupported-url`, `ssh-key-not-given`, `known-hosts-not-given`
 */
export function openRemote(
  url: string,
  database: ObjectDatabase,
  options: RemoteOptions = {},
): TaggedRemote {
  const path = localPath(url);
  return path === undefined
    ? openSmartRemote(transportTo(url, options), database)
    : openLocalRemote(path, database);
}

/** Whether a repository is named by where it is on a network, not by a path. */
export function isRemoteAddress(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || isScpLike(text);
}

function transportTo(url: string, { ssh, ...options }: RemoteOptions): Transport {
  const isSsh = /^ssh:\/\//i.test(url) || isScpLike(url);
  if (!isSsh) return new HttpTransport(url, options);
  const { idleTimeoutMs, traffic, signal } = options;
  return new SshTransport(url, { ...ssh, idleTimeoutMs, traffic, signal });
}

function localPath(url: string): string | undefined {
  if (/^file:\/\//i.test(url)) return fileURLToPath(url);
  if (isRemoteAddress(url)) return undefined;
  return isAbsolute(url) || existsSync(url) ? url : undefined;
}
