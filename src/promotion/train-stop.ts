import type { GitRepository } from '../git/git-command.ts';
import { readLockHistory } from '../git/lock-history.ts';
import { type ManifestFiles, requireLock } from '../git/manifest-files.ts';
import type { OpenPackages } from '../git/package-source.ts';
import type { Lock } from '../repo/lock.ts';
import type { PinJudgement } from '../repo/pin-judgement.ts';
import type { Promotion } from '../repo/promotion.ts';
import { promotionMessage } from '../repo/promotion-message.ts';
import { promotionUnits } from '../repo/promotion-units.ts';
import type { Ring } from '../repo/ring.ts';
import {
  type BarredVersion,
  differingAliases,
  type TrainCandidates,
  trainCandidates,
} from '../repo/train-candidates.ts';
import { readGraph, readWanted } from './decide-promotion.ts';
import { type FailureOf, readFailures } from './failed-versions.ts';
import { type GateSources, judgePins } from './judge-pins.ts';
import { authorHere, newMigrations } from './promote-modules.ts';
import { chooseVersions, type JudgeVersions } from './train-choice.ts';

/** One step of a chain: a ring, and the ring that it promotes from, as their branches have them. */
export interface TrainStop {
  readonly ring: Ring;
  readonly source: Ring;
  readonly sourceFiles: ManifestFiles;
  readonly targetFiles: ManifestFiles;
  readonly sourceCommit: string;
  readonly targetCommit: string;
  /** Where tags that approve stand. */
  readonly approvalTags: string;
}

/** What goes together, with the message of its commit. */
export interface TrainUnit {
  readonly promotion: Promotion;
  readonly judgements: readonly PinJudgement[];
  readonly message: string;
}

export interface StopDecision {
  /** Each on top of the one before. */
  readonly units: readonly TrainUnit[];
  /** Modules whose gates are closed: of each its greatest version. */
  readonly waiting: readonly PinJudgement[];
  /** What does not go before a person does something. */
  readonly barred: readonly BarredVersion[];
}

/**
 * Decides what may go from one ring to the next.
 *
 * @throws RinglockError `no-lock`, `database-…`
 */
export async function decideStop(
  repository: GitRepository,
  stop: TrainStop,
  sources: GateSources,
  openPackages: OpenPackages,
): Promise<StopDecision> {
  const { ring, source, sourceFiles, targetFiles } = stop;
  const from = requireLock(sourceFiles, source.name).lock;
  const { lock: to, text: toText } = requireLock(targetFiles, ring.name);
  const differing = differingAliases(from, to);
  if (differing.length === 0) return { units: [], waiting: [], barred: [] };
  if (ring.suspended !== undefined) return suspended(ring, from, differing);
  const { candidates, barred } = await findCandidates(repository, stop, { from, to, differing });
  const failed = await failuresOf(stop, candidates, sources);
  const judge = await openJudge(repository, stop, from, sources);
  const chosen = await chooseVersions(ring.gates, candidates, failed, judge);
  const packages = openPackages({ settings: targetFiles.settings });
  const reading = { repository, maxFiles: targetFiles.settings.maxFiles, packages };
  const wanted = await readWanted(from, chosen.entries, reading);
  const targetGraph = wanted.length === 0 ? new Map<string, never>() : await readGraph(to, reading);
  const { units, left } = promotionUnits({ from, toRing: ring, toText, targetGraph, wanted });
  const made: TrainUnit[] = [];
  for (const promotion of units) {
    const { changes } = promotion;
    const migrations = await newMigrations(repository, ring.name, changes, packages);
    const judgements = chosen.passed.filter(({ alias }) =>
      changes.some((change) => change.alias === alias),
    );
    const message = promotionMessage({
      ...{ from: source.name, to: ring.name, promotion, judgements, migrations },
      ...{ reason: undefined, override: undefined },
    });
    made.push({ promotion, judgements, message });
  }
  const stuck = left.map(({ alias, reason }) => {
    return { alias, version: chosen.entries.get(alias)?.version ?? '', reason };
  });
  return {
    units: made,
    waiting: chosen.waiting,
    barred: [...barred, ...chosen.failed, ...stuck].sort((a, b) => (a.alias < b.alias ? -1 : 1)),
  };
}

function suspended({ name }: Ring, from: Lock, differing: readonly string[]): StopDecision {
  const barred = differing.map((alias) => {
    const version = from.modules.get(alias)?.version ?? '';
    return { alias, version, reason: `${name} is suspended` };
  });
  return { units: [], waiting: [], barred };
}

async function findCandidates(
  repository: GitRepository,
  { ring, source, sourceCommit, targetCommit }: TrainStop,
  { from, to, differing }: { from: Lock; to: Lock; differing: readonly string[] },
) {
  const fromHistory = await readLockHistory(repository, source.name, differing, {
    revision: sourceCommit,
    newest: 200,
  });
  const toHistory = await readLockHistory(repository, ring.name, differing, {
    revision: targetCommit,
  });
  return trainCandidates({ from, to, toRing: ring, fromHistory, toHistory });
}

async function failuresOf(
  { ring, source }: TrainStop,
  candidates: readonly TrainCandidates[],
  { databaseUrl }: GateSources,
): Promise<FailureOf> {
  const asked = candidates.flatMap(({ alias, entries }) =>
    entries.map((entry) => ({ alias, entry })),
  );
  return readFailures(await databaseUrl(), [source.name, ring.name], asked);
}

async function openJudge(
  repository: GitRepository,
  { ring, targetCommit, approvalTags }: TrainStop,
  from: Lock,
  sources: GateSources,
): Promise<JudgeVersions> {
  const authors = ring.gates.approvals === 0 ? [] : await authorHere(repository);
  return (gates, pins) =>
    judgePins(
      repository,
      {
        ...{ ring: { ...ring, gates }, source: from.modules, approvalTags, authors },
        pins: pins.map(({ alias, entry }) => ({ kind: 'pin', alias, after: entry })),
        // What the ring had before is no candidate.
        ...{ historyOf: undefined, approvedIn: [targetCommit] },
      },
      sources,
    );
}
