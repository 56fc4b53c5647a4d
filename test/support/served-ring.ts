import { basename, dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { serveGit } from './git-server.ts';
import { createPlatform } from './platform.ts';
import { temporaryDirectory } from './temporary.ts';

/** A platform, the server of its remote, and a root to follow it. */
export async function createServedRing(t: TestContext) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const server = await serveGit(t, dirname(repo));
  const ring = { repo: `${server.url}/${basename(repo)}`, root: temporaryDirectory(t, 'root') };
  return { platform, server, ring };
}
