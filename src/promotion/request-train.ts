import { RinglockError } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { runTrain, type TrainOptions, type TrainReport } from './promotion-train.ts';
import {
  type PromotionRequestOptions,
  type RequestedPromotion,
  requestPromotion,
} from './request-promotion.ts';

/** What came of one unit of a train; one of `requested` and `refusal` is there. */
export interface RequestedUnit {
  readonly from: string;
  readonly to: string;
  /** `orders@1.1.0`. */
  readonly modules: readonly string[];
  readonly requested: RequestedPromotion | undefined;
  /** Why it is not asked for now. */
  readonly refusal: RinglockError | undefined;
}

export interface RequestedTrain {
  readonly report: TrainReport;
  readonly units: readonly RequestedUnit[];
}

/**
 * Asks for whatever has passed its gates, each unit by a request of its own: they can be merged in any order.
 * A unit that needs another one waits until that is merged.
 *
 * @throws RinglockError what runTrain() throws, and what requestPromotion() throws of the environment
 */
export async function requestTrain(
  repository: GitRepository,
  options: Pick<TrainOptions, 'from' | 'to' | 'sources' | 'openPackages'>,
  request: PromotionRequestOptions,
  signal: AbortSignal,
): Promise<RequestedTrain> {
  const report = await runTrain(repository, { ...options, push: false });
  const units: RequestedUnit[] = [];
  for (const { from, to, promotion } of report.promoted) {
    const modules = promotion.changes.map(({ alias, after }) => `${alias}@${after.version}`);
    const wish = {
      ...{ from, to, modules, reason: undefined, override: undefined },
      ...{ withDependencies: false, allowDowngrade: false, movePlatform: false },
    };
    const unit = { from, to, modules, requested: undefined, refusal: undefined };
    const { sources, openPackages } = options;
    try {
      const asked = requestPromotion(repository, wish, sources(), openPackages, request, signal);
      units.push({ ...unit, requested: await asked });
    } catch (error) {
      if (!(error instanceof RinglockError) || error.exitCode === 3) throw error;
      units.push({ ...unit, refusal: error });
    }
  }
  return { report, units };
}

/** 1 where a person has to look at a unit; one that waits for another is no failure. */
export function requestedExitCode({ report, units }: RequestedTrain): 0 | 1 | 3 {
  if (units.some(({ refusal }) => refusal !== undefined && refusal.code !== 'incompatible-lock')) {
    return 1;
  }
  const gates = report.stops.flatMap(({ waiting }) => waiting.flatMap((one) => one.gates));
  return gates.some(({ state }) => state === 'unjudged') ? 3 : 0;
}
