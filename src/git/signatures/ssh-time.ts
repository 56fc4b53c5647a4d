/**
 * A time as ssh-keygen(1) writes it: `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` (or `UTC`)
 * in UTC, else in the time zone of this process.
 *
 * @returns milliseconds since 1970, or undefined for what is no such time
 */
export function parseSshTime(text: string): number | undefined {
  const [, year, month, day, hour = '00', minute = '00', second = '00', zone] =
    /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z|UTC)?$/i.exec(text) ?? [];
  if (year === undefined) return undefined;
  const fields = [year, month, day, hour, minute, second].map(Number);
  const [y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0] = fields;
  const utc = new Date(Date.UTC(y, mo - 1, d, h, mi, s));
  // A day that no month has would become another one.
  const isThere =
    y >= 1970 &&
    [utc.getUTCFullYear(), utc.getUTCMonth() + 1, utc.getUTCDate()].every(
      (field, index) => field === fields[index],
    ) &&
    h < 24 &&
    mi < 60 &&
    s < 60;
  if (!isThere) return undefined;
  return zone === undefined ? new Date(y, mo - 1, d, h, mi, s).getTime() : utc.getTime();
}
