import type { Remote } from '../git/remote.ts';

/** How many ids one request asks for: proxies limit a request's size, to 1 MiB most often. */
const atOnce = 4096;

/** Fetches trees without what is below them, also when there are thousands. */
export async function fetchTreesThemselves(remote: Remote, oids: readonly string[]): Promise<void> {
  for (let at = 0; at < oids.length; at += atOnce) {
    await remote.fetchTrees(oids.slice(at, at + atOnce), { shallow: true });
  }
}
