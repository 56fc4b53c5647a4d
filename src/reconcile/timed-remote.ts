import type { FetchStats, FollowedRepository } from '../git/remote.ts';
import type { Durations } from './counts.ts';

/** The same remote; how long its answers took is counted, where there was something to ask. */
export function timedRemote(remote: FollowedRepository, times: Durations): FollowedRepository {
  const timed = async (request: string, fetch: Promise<FetchStats>) => {
    const since = performance.now();
    const stats = await fetch;
    if (stats.objects > 0) times.observe({ request }, performance.now() - since);
    return stats;
  };
  return {
    url: remote.url,
    urls: remote.urls,
    get answering() {
      return remote.answering;
    },
    resolveBranch: async (branch, known) => {
      const since = performance.now();
      const tip = await remote.resolveBranch(branch, known);
      times.observe({ request: 'tip' }, performance.now() - since);
      return tip;
    },
    fetchCommits: (tip, have, depth) => timed('commits', remote.fetchCommits(tip, have, depth)),
    fetchTrees: (oids, options) => timed('trees', remote.fetchTrees(oids, options)),
    close: () => remote.close(),
  };
}
