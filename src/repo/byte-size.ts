import { badInput } from '../errors.ts';

const unitBytes: Readonly<Record<string, number>> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/**
 * Bytes of a size such as `512KiB`, `64MiB` or `2GiB`.
 *
 * @param name what messages call it, e.g. `--max-file`
 * @throws RinglockError `invalid-size`
 */
export function parseByteSize(text: string, name: string): number {
  const [, count, unit = ''] = /^([1-9]\d{0,5})(KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  const factor = unitBytes[unit];
  if (count === undefined || factor === undefined) {
    throw badInput(
      'invalid-size',
      `${name} is ${JSON.stringify(text)}, expected a size such as 512KiB, 64MiB or 2GiB`,
    );
  }
  return Number(count) * factor;
}
