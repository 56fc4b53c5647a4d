import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TransportOptions } from './http-transport.ts';
import { openLocalRemote } from './local-remote.ts';
import type { ObjectDatabase } from './object-database.ts';
import type { Remote } from './remote.ts';
import { openSmartRemote } from './smart-remote.ts';

/**
 * Opens a repository by URL (https, http to loopback) or path (`/path`, `file://`; bare, with a work
 * tree, or a linked work tree). Nothing is asked of it yet.
 *
 * @throws RinglockError `insecure-url`, `unsupported-url`
 */
export function openRemote(
  url: string,
  database: ObjectDatabase,
  options: TransportOptions = {},
): Remote {
  const path = localPath(url);
  return path === undefined
    ? openSmartRemote(url, database, options)
    : openLocalRemote(path, database);
}

function localPath(url: string): string | undefined {
  if (/^file:\/\//i.test(url)) return fileURLToPath(url);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return undefined;
  return isAbsolute(url) || existsSync(url) ? url : undefined;
}
