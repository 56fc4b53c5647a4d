import { setTimeout as delay } from 'node:timers/promises';
import { badInput, environmentFailed } from '../errors.ts';
import { commitFile } from '../git/commit-file.ts';
import { type GitRepository, runGit } from '../git/git-command.ts';
import {
  type ManifestFiles,
  readManifestFiles,
  readManifestFilesAt,
} from '../git/manifest-files.ts';
import type { OpenPackages } from '../git/package-source.ts';
import { defaultRemote, fetchBranches, pushCommit } from '../git/push-commit.ts';
import { lockFile } from '../repo/names.ts';
import { promotionOrder, type Ring } from '../repo/ring.ts';
import type { GateSources } from './judge-pins.ts';
import { decideStop, type StopDecision, type TrainStop, type TrainUnit } from './train-stop.ts';

export interface TrainOptions {
  /** Only from this ring, only to that one. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Whether commits are made and pushed; else it is only said what would be. */
  readonly push: boolean;
  /** Asked anew for each try, since time goes on. */
  readonly sources: () => GateSources;
  readonly openPackages: OpenPackages;
  /** How often a push that others were faster than is tried again; default 5 times in all. */
  readonly attempts?: number;
  /** The longest wait before the second try, in ms; doubled with each. Default 500. */
  readonly delayMs?: number;
  /** Called before each push, where a test stands in the way. */
  readonly beforePush?: () => Promise<void>;
}

/** One unit that went, or would go. */
export interface TrainPromotion extends TrainUnit {
  readonly from: string;
  readonly to: string;
  readonly branch: string;
  /** Undefined where nothing was pushed. */
  readonly commit: string | undefined;
}

export interface TrainReport {
  readonly promoted: readonly TrainPromotion[];
  /** What waits, and what a person has to decide about, of each step of the chains. */
  readonly stops: readonly (StopDecision & { readonly from: string; readonly to: string })[];
  readonly pushed: boolean;
  /** How often it was decided: more than once when a push raced. */
  readonly attempts: number;
}

/** Where approvals of the remote are kept: what was deleted there does not count here. */
const approvalRefs = 'refs/ringlock/remote-tags';

/**
 * Promotes what has passed its gates along every chain of rings, on the deploy branches as their remote has
 * them; work tree, index and local branches stay as they are. One commit for each module, or for those that
 * can only run together. The ring at a chain's end goes first: what comes to a ring in this run goes no
 * further in it.
 *
 * @throws RinglockError `no-remote`, `fetch-failed`, `push-refused`, `push-failed`, `push-raced`, and what
 *   reading the platform throws
 */
export async function runTrain(
  repository: GitRepository,
  options: TrainOptions,
): Promise<TrainReport> {
  const remote = await requireRemote(repository);
  const { attempts = 5, delayMs = 500, push } = options;
  const gone: TrainPromotion[] = [];
  for (let attempt = 1; ; attempt++) {
    const tips = await fetchTips(repository, remote);
    const { promoted, stops } = await decideAll(repository, tips, options);
    const report = { promoted: [...gone, ...promoted], stops, attempts: attempt };
    if (!push || promoted.length === 0) return { ...report, pushed: gone.length > 0 };
    await options.beforePush?.();
    const branches = await pushAll(repository, remote, tips);
    gone.push(...promoted.filter(({ branch }) => branches.pushed.has(branch)));
    if (!branches.isRaced) return { ...report, pushed: true };
    if (attempt >= attempts) throw raced(remote, attempts, gone);
    await delay(Math.random() * delayMs * 2 ** (attempt - 1));
  }
}

async function requireRemote(repository: GitRepository): Promise<string> {
  const remote = await defaultRemote(repository);
  if (remote !== undefined) return remote;
  throw badInput('no-remote', `${repository.topLevel} has no remote`, {
    hint: '--auto promotes on the deploy branch of a remote: git remote add origin URL',
  });
}

/** A deploy branch; `at` moves with each commit that is made on it. */
interface Tip {
  readonly branch: string;
  readonly files: ManifestFiles;
  readonly fetched: string;
  at: string;
}

async function fetchTips(repository: GitRepository, remote: string): Promise<Tip[]> {
  const { rings } = await readManifestFiles(repository);
  const branches = [...new Set([...rings.values()].map(({ branch }) => branch))].sort();
  const tags = { folder: 'approve', into: `${approvalRefs}/approve` };
  await fetchBranches(repository, remote, branches, tags);
  const tips: Tip[] = [];
  for (const branch of branches) {
    const ref = `refs/remotes/${remote}/${branch}`;
    const at = await runGit(repository.topLevel, ['rev-parse', '--verify', `${ref}^{commit}`]);
    tips.push({ branch, files: await readManifestFilesAt(repository, at), fetched: at, at });
  }
  return tips;
}

async function decideAll(
  repository: GitRepository,
  tips: readonly Tip[],
  options: TrainOptions,
): Promise<Pick<TrainReport, 'promoted' | 'stops'>> {
  const promoted: TrainPromotion[] = [];
  const stops: (StopDecision & { from: string; to: string })[] = [];
  for (const stop of findStops(tips, options)) {
    const decided = await decideStop(
      repository,
      { ...stop, approvalTags: approvalRefs },
      options.sources(),
      options.openPackages,
    );
    const { tip } = stop;
    const step = { from: stop.source.name, to: stop.ring.name };
    stops.push({ ...decided, ...step });
    for (const unit of decided.units) {
      const commit = options.push ? await commitUnit(repository, tip, stop.ring, unit) : undefined;
      promoted.push({ ...unit, ...step, branch: tip.branch, commit });
    }
  }
  return { promoted, stops };
}

async function commitUnit(
  repository: GitRepository,
  tip: Tip,
  ring: Ring,
  { promotion, message }: TrainUnit,
): Promise<string> {
  const path = lockFile(ring.name);
  tip.at = await commitFile(repository, { parent: tip.at, path, text: promotion.text, message });
  return tip.at;
}

/** The steps of all chains, those at a chain's end first. */
function findStops(
  tips: readonly Tip[],
  { from, to }: TrainOptions,
): (Omit<TrainStop, 'approvalTags'> & { readonly tip: Tip })[] {
  const rings = new Map<string, { ring: Ring; tip: Tip }>();
  for (const tip of tips) {
    for (const ring of tip.files.rings.values()) {
      if (ring.branch === tip.branch) rings.set(ring.name, { ring, tip });
    }
  }
  for (const name of [from, to]) {
    if (name === undefined || rings.has(name)) continue;
    throw badInput('unknown-ring', `no deploy branch has a ring ${JSON.stringify(name)}`, {
      hint: `Rings there: ${[...rings.keys()].join(', ') || 'none'}.`,
    });
  }
  const order = promotionOrder([...rings.values()].map(({ ring }) => ring)).reverse();
  return order.flatMap((ring) => {
    const target = rings.get(ring.name);
    const source = ring.promotesFrom === undefined ? undefined : rings.get(ring.promotesFrom);
    if (target === undefined || source === undefined || ring.tracking) return [];
    if ((from ?? source.ring.name) !== source.ring.name || (to ?? ring.name) !== ring.name) {
      return [];
    }
    const { tip } = target;
    const at = { sourceFiles: source.tip.files, targetFiles: tip.files };
    const commits = { sourceCommit: source.tip.fetched, targetCommit: tip.fetched };
    return [{ ring, source: source.ring, ...at, ...commits, tip }];
  });
}

/** Each deploy branch by itself; what was pushed before somebody else was faster stays. */
async function pushAll(
  repository: GitRepository,
  remote: string,
  tips: readonly Tip[],
): Promise<{ readonly pushed: ReadonlySet<string>; readonly isRaced: boolean }> {
  const pushed = new Set<string>();
  let isRaced = false;
  for (const { branch, fetched, at } of tips) {
    if (at === fetched) continue;
    if ((await pushCommit(repository, remote, at, branch)) === 'raced') isRaced = true;
    else pushed.add(branch);
  }
  return { pushed, isRaced };
}

function raced(remote: string, attempts: number, gone: readonly TrainPromotion[]): Error {
  const went = gone.map(({ branch, commit }) => `${commit?.slice(0, 12)} on ${branch}`);
  return environmentFailed(
    'push-raced',
    `others pushed to ${remote} faster, ${attempts} times in a row; promoted: ${went.join(', ') || 'nothing'}`,
    { hint: 'The next run decides again.', details: { commits: gone.map(({ commit }) => commit) } },
  );
}
