import type { GitRepository } from '../git/git-command.ts';
import { readLockHistory } from '../git/lock-history.ts';
import { type ManifestFiles, requireLock } from '../git/manifest-files.ts';
import type { OpenPackages } from '../git/package-source.ts';
import type { Lock, LockEntry } from '../repo/lock.ts';
import { isOpen, type PinJudgement } from '../repo/pin-judgement.ts';
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
  const chosen = await choose(repository, stop, { from, candidates, failed }, sources);
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

interface Chosen {
  readonly entries: ReadonlyMap<string, LockEntry>;
  readonly passed: readonly PinJudgement[];
  readonly waiting: readonly PinJudgement[];
  readonly failed: readonly BarredVersion[];
}

/**
 * Of each module the greatest version that failed nowhere and passes every gate. What asks outside is asked
 * last, and only about versions that passed all else.
 */
async function choose(
  repository: GitRepository,
  stop: TrainStop,
  {
    from,
    candidates,
    failed,
  }: {
    readonly from: Lock;
    readonly candidates: readonly TrainCandidates[];
    readonly failed: FailureOf;
  },
  sources: GateSources,
): Promise<Chosen> {
  const { gates } = stop.ring;
  const barred: BarredVersion[] = [];
  const sound = candidates.flatMap(({ alias, entries }) =>
    entries.flatMap((entry) => {
      const reason = failed(alias, entry);
      if (reason === undefined) return [{ alias, entry }];
      barred.push({ alias, version: entry.version, reason });
      return [];
    }),
  );
  const judge = await openJudge(repository, stop, from, sources);
  const inside = await judge({ ...gates, requires: [] }, sound);
  const best = new Map<string, { entry: LockEntry; judgement: PinJudgement }>();
  const greatest = new Map<string, PinJudgement>();
  for (const [index, { alias, entry }] of sound.entries()) {
    const judgement = inside[index];
    if (judgement === undefined) continue;
    if (!greatest.has(alias)) greatest.set(alias, judgement);
    if (!best.has(alias) && isOpen(judgement)) best.set(alias, { entry, judgement });
  }
  const asked = [...best].map(([alias, { entry }]) => ({ alias, entry }));
  const outside =
    gates.requires.length === 0
      ? []
      : await judge({ ...gates, soakMs: undefined, approvals: 0, freeze: [] }, asked);
  const judged = [...best].map(([alias, { entry, judgement }], index) => ({
    ...{ alias, entry },
    judgement: { ...judgement, gates: [...judgement.gates, ...(outside[index]?.gates ?? [])] },
  }));
  const passed = judged.filter(({ judgement }) => isOpen(judgement));
  return {
    entries: new Map(passed.map(({ alias, entry }) => [alias, entry])),
    passed: passed.map(({ judgement }) => judgement),
    waiting: [
      ...judged.filter(({ judgement }) => !isOpen(judgement)).map(({ judgement }) => judgement),
      ...[...greatest].flatMap(([alias, judgement]) => (best.has(alias) ? [] : [judgement])),
    ],
    failed: barred,
  };
}

type Judge = (
  gates: Ring['gates'],
  pins: readonly { readonly alias: string; readonly entry: LockEntry }[],
) => Promise<PinJudgement[]>;

async function openJudge(
  repository: GitRepository,
  { ring, targetCommit, approvalTags }: TrainStop,
  from: Lock,
  sources: GateSources,
): Promise<Judge> {
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
