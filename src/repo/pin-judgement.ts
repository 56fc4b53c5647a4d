import { environmentFailed, type RinglockError, refused } from '../errors.ts';
import { allOpenAt, type GateVerdict } from './gate-verdicts.ts';

/** What a ring's gates say of one change of its lock. */
export interface PinJudgement {
  /** Null for the ring's platform. */
  readonly alias: string | null;
  /** Null for a removal. */
  readonly version: string | null;
  readonly sha256: string | null;
  /** The ring had these bytes before: that way is always open. */
  readonly is_return: boolean;
  /** Empty for a return, and for a ring without gates. */
  readonly gates: readonly GateVerdict[];
}

export function isOpen({ gates }: PinJudgement): boolean {
  return gates.every(({ state }) => state === 'open');
}

/** One line for each gate that a change has to pass, `closed  soak  …; opens 2026-…`. */
export function gateLines(judgements: readonly PinJudgement[]): string[] {
  return judgements.flatMap((judgement) => [
    `${nameOf(judgement)}${judgement.is_return ? ' was there before: no gate is asked' : ''}`,
    ...judgement.gates.map(({ gate, name, state, message, opens_at }) => {
      const shown = gate === name ? gate : `${gate} ${name}`;
      const when = opens_at === null ? '' : `; opens ${opens_at}`;
      return `  ${state.padEnd(8)}  ${shown}: ${message}${when}`;
    }),
  ]);
}

/** `orders 1.1.0`, `orders (removed)`, `platform 2.1.0`. */
function nameOf({ alias, version }: PinJudgement): string {
  return `${alias ?? 'platform'} ${version ?? '(removed)'}`;
}

/** `soak: soaked 26h in canary since 2026-…`: what passed, for a commit's message. */
export function passedLines({ gates, is_return }: PinJudgement): string[] {
  if (is_return) return ['the ring had it before'];
  return gates.flatMap(({ state, gate, name, message }) =>
    state === 'open' ? [`${gate === name ? gate : `${gate} ${name}`}: ${message}`] : [],
  );
}

export interface OverrideWish {
  /** Why closed gates are gone over; undefined: they are not. */
  readonly reason: string | undefined;
  /** Whether the ring's file allows that. */
  readonly isAllowed: boolean;
}

/**
 * Refuses changes whose gates are not all open, naming every gate.
 *
 * @returns the changes that go over closed gates
 * @throws RinglockError `gates-closed`; `gates-unjudged` (exit 3) where nothing else stands in the way;
 *   `override-not-allowed`
 */
export function refuseClosedGates(
  ring: string,
  judgements: readonly PinJudgement[],
  override: OverrideWish,
): PinJudgement[] {
  const shut = judgements.filter((judgement) => !isOpen(judgement));
  if (shut.length === 0) return [];
  const lines = gateLines(shut).map((line) => `  ${line}`);
  const names = shut.map(nameOf).join(', ');
  if (override.reason !== undefined) {
    if (override.isAllowed) return shut;
    throw refused(
      'override-not-allowed',
      `manifests/${ring}.ring.yaml does not allow to go over its gates:\n${lines.join('\n')}`,
      { hint: hintOf(shut, false), details: { gates: shut } },
    );
  }
  throw closedError(
    shut,
    `${names} may not come to ${ring}:\n${lines.join('\n')}`,
    override.isAllowed,
  );
}

function closedError(
  shut: readonly PinJudgement[],
  message: string,
  isOverridable: boolean,
): RinglockError {
  const options = { hint: hintOf(shut, isOverridable), details: { gates: shut } };
  const isClosed = shut.some(({ gates }) => gates.some(({ state }) => state === 'closed'));
  return isClosed
    ? refused('gates-closed', message, options)
    : environmentFailed('gates-unjudged', message, options);
}

function hintOf(shut: readonly PinJudgement[], isOverridable: boolean): string {
  const opens = allOpenAt(shut.flatMap(({ gates }) => gates));
  const when = opens === null ? 'Do what is missing, then run it again.' : `Open at ${opens}.`;
  return isOverridable ? `${when} Over it: --override "reason" --commit` : when;
}
