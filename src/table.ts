import Table from 'cli-table3';

/** Rows below headings in columns, without lines, so that `awk` and eyes both read it. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = ['top', 'bottom', 'left', 'right', 'mid', 'middle'];
  const none = lines.flatMap((name) => [name, `${name}-left`, `${name}-right`, `${name}-mid`]);
  const table = new Table({
    head: [...headings],
    chars: Object.fromEntries([...none, 'top-mid', 'bottom-mid'].map((name) => [name, ''])),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  for (const row of rows) table.push([...row]);
  const text = table.toString();
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
