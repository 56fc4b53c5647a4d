import { badInput } from '../errors.ts';

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Milliseconds of a duration such as `500ms`, `30s`, `15m`, `48h` or `7d`.
 *
 * @param name what messages call it, e.g. `--interval`
 * @throws RinglockError `invalid-duration`
 */
export function parseDuration(text: string, name: string): number {
  const [, count, unit = ''] = /^([1-9]\d{0,8})(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = unitMs[unit];
  if (count === undefined || factor === undefined) {
    throw badInput(
      'invalid-duration',
      `${name} is ${JSON.stringify(text)}, expected a duration such as 500ms, 30s, 15m, 48h or 7d`,
    );
  }
  return Number(count) * factor;
}
