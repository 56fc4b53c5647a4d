import type { FetchStats, Remote } from '../git/remote.ts';
import type { Durations } from './counts.ts';

/** The same remote; how long its answers took is counted, where there was something to ask. */
export function timedRemote(remote: Remote, times: Durations): Remote {
  const timed = async (request: string, fetch: Promise<FetchStats>) => {
    const since = performance.now();
    const stats = await fetch;
    if (stats.objects > 0) times.observe({ request }, performance.now() - since);
    return stats;
  };
  return {
    url: remote.url,
    resolveBranch: async (branch) => {
      const since = performance.now();
      const tip = await remote.resolveBranch(branch);
      times.observe({ request: 'tip' }, performance.now() - since);
      return tip;
    },
    fetchCommits: (tip, have) => timed('commits', remote.fetchCommits(tip, have)),
    fetchTrees: (oids, options) => timed('trees', remote.fetchTrees(oids, options)),
    close: () => remote.close(),
  };
}
