import { RinglockError } from '../errors.ts';
import type { GraphModule, GraphModules, Incompatibility } from './graph.ts';
import { type Lock, parseLock } from './lock.ts';
import { type Promotion, planPromotion, type WantedPin } from './promotion.ts';
import type { Ring } from './ring.ts';

/** What is to go from one ring to the next, in as small steps as can be. */
export interface UnitsInput {
  readonly from: Lock;
  readonly toRing: Ring;
  readonly toText: string;
  readonly targetGraph: GraphModules;
  /** Those that passed their gates. */
  readonly wanted: readonly WantedPin[];
}

export interface PromotionUnits {
  /** Each on top of the one before. */
  readonly units: readonly Promotion[];
  /** What cannot go by itself nor with the others, and why. */
  readonly left: readonly { readonly alias: string; readonly reason: string }[];
}

/**
 * Cuts a promotion into steps of one module each; modules that can only run together are one step. A step
 * grows by what the refusal of it names, as long as that passed its gates too.
 */
export function promotionUnits(input: UnitsInput): PromotionUnits {
  const units: Promotion[] = [];
  const left: { alias: string; reason: string }[] = [];
  const done = new Set<string>();
  let { toText } = input;
  const graph = new Map(input.targetGraph);
  for (const pin of input.wanted) {
    if (done.has(pin.alias)) continue;
    const unit = smallestUnit({ ...input, toText, targetGraph: graph }, pin, done);
    if (unit instanceof RinglockError) {
      left.push({ alias: pin.alias, reason: unit.message });
      continue;
    }
    for (const { alias } of unit.changes) {
      done.add(alias);
      const module = input.wanted.find((one) => one.alias === alias)?.module;
      if (isGraphModule(module)) graph.set(alias, module);
    }
    toText = unit.text;
    if (unit.changes.length > 0) units.push(unit);
  }
  // What could not go may have gone with a later one.
  return { units, left: left.filter(({ alias }) => !done.has(alias)) };
}

function smallestUnit(
  input: UnitsInput,
  first: WantedPin,
  done: ReadonlySet<string>,
): Promotion | RinglockError {
  const { from, toRing, toText, targetGraph, wanted } = input;
  const to = parseLock(toText, toRing.name);
  const group = new Map([[first.alias, first]]);
  for (;;) {
    try {
      return planPromotion({
        ...{ from, to, toText, toRing, targetGraph, wanted: [...group.values()] },
        ...{ isAll: false, allowDowngrade: false, movePlatform: false },
      });
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      const names = namesIn(error);
      const more = wanted.filter(
        ({ alias }) => names.has(alias) && !group.has(alias) && !done.has(alias),
      );
      if (more.length === 0) return error;
      for (const pin of more) group.set(pin.alias, pin);
    }
  }
}

/** Modules that have a part in a refusal: what lacks something, and what is lacking. */
function namesIn({ details }: RinglockError): ReadonlySet<string> {
  const incompatible = (details?.['incompatible'] ?? []) as readonly Incompatibility[];
  return new Set(
    incompatible.flatMap(({ alias, because }) => [alias, ...(because ? [because] : [])]),
  );
}

function isGraphModule(module: GraphModule | RinglockError | undefined): module is GraphModule {
  return module !== undefined && !(module instanceof RinglockError);
}
