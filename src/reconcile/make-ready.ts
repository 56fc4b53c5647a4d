import pLimit from 'p-limit';
import { RinglockError } from '../errors.ts';
import { firstMissingBelow } from '../git/completeness.ts';
import type { ObjectReader } from '../git/object-store.ts';
import type { Lock } from '../repo/lock.ts';
import type { ModuleSource, WantedModule } from '../source/module-source.ts';
import { takeFromSources } from '../source/source-chain.ts';
import type { Root } from '../store/root.ts';

export interface MakeReadyInput {
  readonly lock: Lock;
  readonly root: Root;
  readonly objects: ObjectReader;
  readonly sources: readonly ModuleSource[];
  /** Whether git is away: what is not here is then not asked for ahead. */
  readonly isOffline: boolean;
}

/** Packages that are downloaded at once. */
const atOnce = 4;

/**
 * Brings what the store lacks to where its manifest can be read. Git trees are fetched in as few requests
 * as the sources can; a module that git does not give is put into the store itself, from a package or a
 * mirror: that too is staged and verified, and nothing of it is visible.
 *
 * @throws RinglockError of the sources, unless others offer every module that is missing
 */
export async function makeReady(input: MakeReadyInput): Promise<void> {
  const { lock, root, sources, isOffline } = input;
  const missing: WantedModule[] = [];
  for (const [alias, entry] of lock.modules) {
    if (!(await root.hasVersion(pinOf({ alias, entry })))) missing.push({ alias, entry });
  }
  if (missing.length === 0) return;
  const offered = missing.filter((module) => sources.some((one) => one.offers?.(module) === true));
  if (!isOffline) await prefetch(sources, missing, offered.length === missing.length);
  await stageWithoutTree(input, offered);
}

async function prefetch(
  sources: readonly ModuleSource[],
  missing: readonly WantedModule[],
  mayFail: boolean,
): Promise<void> {
  for (const source of sources) {
    try {
      const prefetch = async () => source.prefetch?.(missing);
      await (mayFail && source.turn ? source.turn(source.name, prefetch) : prefetch());
    } catch (error) {
      if (!mayFail || !(error instanceof RinglockError) || error.exitCode !== 3) throw error;
      // Each module is asked for again, by itself, from every source in turn.
    }
  }
}

async function stageWithoutTree(
  { objects, root, sources }: MakeReadyInput,
  offered: readonly WantedModule[],
): Promise<void> {
  const limit = pLimit(atOnce);
  const stage = async (module: WantedModule) => {
    const { tree } = module.entry;
    if (tree !== null && (await firstMissingBelow(objects, tree)) === undefined) return;
    await takeFromSources(sources, module, async (files, name) => {
      await root.stage(pinOf(module), files, name);
    });
  };
  const results = await Promise.allSettled(offered.map((module) => limit(() => stage(module))));
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

function pinOf({ alias, entry: { version, sha256 } }: WantedModule) {
  return { alias, version, sha256 };
}
