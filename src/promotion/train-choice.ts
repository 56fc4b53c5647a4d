import type { Gates } from '../repo/gates.ts';
import type { LockEntry } from '../repo/lock.ts';
import { isOpen, type PinJudgement } from '../repo/pin-judgement.ts';
import type { BarredVersion, TrainCandidates } from '../repo/train-candidates.ts';
import type { FailureOf } from './failed-versions.ts';

/** What may go of a ring, and what not yet. */
export interface TrainChoice {
  /** By alias. */
  readonly entries: ReadonlyMap<string, LockEntry>;
  /** What the gates said of them. */
  readonly passed: readonly PinJudgement[];
  /** Of each module of which nothing goes, its greatest version. */
  readonly waiting: readonly PinJudgement[];
  readonly failed: readonly BarredVersion[];
}

interface Version {
  readonly alias: string;
  readonly entry: LockEntry;
}

/** What gates say of versions, in their order. */
export type JudgeVersions = (
  gates: Gates,
  versions: readonly Version[],
) => Promise<readonly PinJudgement[]>;

/**
 * Of each module the greatest version that failed nowhere and passes every gate. What asks outside is asked
 * last, and only about versions that passed all else: a check may take minutes.
 */
export async function chooseVersions(
  gates: Gates,
  candidates: readonly TrainCandidates[],
  failureOf: FailureOf,
  judge: JudgeVersions,
): Promise<TrainChoice> {
  const { sound, failed } = withoutFailed(candidates, failureOf);
  const inside = await judge({ ...gates, requires: [] }, sound);
  const judged = sound.flatMap((version, index) => {
    const judgement = inside[index];
    return judgement === undefined ? [] : [{ ...version, judgement }];
  });
  const entries = new Map<string, LockEntry>();
  const passed: PinJudgement[] = [];
  // The greatest comes first: what is said of it stays.
  const waiting = new Map<string, PinJudgement>();
  for (const { alias, judgement } of judged) {
    if (!waiting.has(alias)) waiting.set(alias, judgement);
  }
  let left = judged.filter(({ judgement }) => isOpen(judgement));
  while (left.length > 0) {
    const round = left.filter(
      ({ alias }, index) => left.findIndex((one) => one.alias === alias) === index,
    );
    const asked = await askOutside(gates, round, judge);
    for (const [index, { alias, entry }] of round.entries()) {
      const judgement = asked[index];
      if (judgement === undefined) continue;
      if (isOpen(judgement)) {
        entries.set(alias, entry);
        passed.push(judgement);
      } else if (waiting.get(alias)?.version === entry.version) {
        waiting.set(alias, judgement);
      }
    }
    left = left.filter((version) => !round.includes(version) && !entries.has(version.alias));
  }
  for (const alias of entries.keys()) waiting.delete(alias);
  return { entries, passed, waiting: [...waiting.values()], failed };
}

function withoutFailed(candidates: readonly TrainCandidates[], failureOf: FailureOf) {
  const failed: BarredVersion[] = [];
  const sound = candidates.flatMap(({ alias, entries }) =>
    entries.flatMap((entry): Version[] => {
      const reason = failureOf(alias, entry);
      if (reason === undefined) return [{ alias, entry }];
      failed.push({ alias, version: entry.version, reason });
      return [];
    }),
  );
  return { sound, failed };
}

/** The judgements with what the checks say besides. */
async function askOutside(
  gates: Gates,
  versions: readonly (Version & { readonly judgement: PinJudgement })[],
  judge: JudgeVersions,
): Promise<PinJudgement[]> {
  if (gates.requires.length === 0) return versions.map(({ judgement }) => judgement);
  const checks = { ...gates, soakMs: undefined, soak: undefined, approvals: 0, freeze: [] };
  const outside = await judge(checks, versions);
  return versions.map(({ judgement }, index) => ({
    ...judgement,
    gates: [...judgement.gates, ...(outside[index]?.gates ?? [])],
  }));
}
