import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

const metricName = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const sampleLine = new RegExp(`^(${metricName})(?:\\{(.*)\\})? (\\S+)$`);
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;

/**
 * Parses Prometheus text (format 0.0.4) as strictly as its documentation says, and checks what promtool
 * would: help and type before samples, no series twice, counters `_total`, base units, whole histograms.
 */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  assert.match(text, /\n$/, 'ends with a line feed');
  const families = new Map<string, Family & { samples: Sample[] }>();
  let help: string | undefined;
  let open: (Family & { samples: Sample[] }) | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = new RegExp(`^# (HELP|TYPE) (${metricName}) (.+)$`).exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      assert.ok(!families.has(name), `${name} has one ${kind}`);
      if (kind === 'HELP') help = name;
      else {
        assert.equal(help, name, `the help of ${name} stands before its type`);
        assert.match(rest, /^(counter|gauge|histogram)$/);
        open = { name, type: rest, samples: [] };
        families.set(name, open);
      }
      continue;
    }
    const [, name = '', labels = '', value = ''] = sampleLine.exec(line) ?? assert.fail(line);
    assert.ok(open !== undefined && belongsTo(name, open), `${name} stands below its own type`);
    open.samples.push({ name, labels: parseLabels(labels), value: parseValue(value) });
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

/** The value of the one series with these labels; undefined when there is none. */
export function sampleValue(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
  const found = (family?.samples ?? []).filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  assert.ok(found.length <= 1, `${name} ${JSON.stringify(labels)} is one series`);
  return found[0]?.value;
}

function belongsTo(name: string, { name: family, type }: Family): boolean {
  if (type !== 'histogram') return name === family;
  return ['_bucket', '_sum', '_count'].some((suffix) => name === `${family}${suffix}`);
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  labelPair.lastIndex = 0;
  while (labelPair.lastIndex < text.length) {
    const at = labelPair.lastIndex;
    const [, name = '', value = ''] = labelPair.exec(text) ?? assert.fail(`${text} at ${at}`);
    assert.ok(!(name in labels), `${name} is given once in ${text}`);
    labels[name] = value;
  }
  return labels;
}

function parseValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  assert.match(text, /^-?\d+(\.\d+)?(e[+-]?\d+)?$/, `${text} is a number`);
  return Number(text);
}

function checkFamily({ name, type, samples }: Family): void {
  assert.equal(/_total$/.test(name), type === 'counter', `${name} is a ${type}`);
  assert.doesNotMatch(name, /_(ms|milliseconds|minutes|kb|mb|kilobytes|count|sum|bucket)$/);
  assert.doesNotMatch(name, new RegExp(`_${type}(_|$)`), `${name} does not name its type`);
  const keys = samples.map((sample) => `${sample.name} ${sortedLabels(sample.labels)}`);
  assert.equal(new Set(keys).size, keys.length, `${name} has no series twice`);
  for (const { value } of samples) if (type === 'counter') assert.ok(value >= 0, name);
  if (type === 'histogram') checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const groups = new Map<string, { bounds: number[]; counts: number[] }>();
  for (const { name: series, labels, value } of samples) {
    const { le, ...others } = labels;
    if (series !== `${name}_bucket`) continue;
    const key = sortedLabels(others);
    const group = groups.get(key) ?? { bounds: [], counts: [] };
    group.bounds.push(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le));
    group.counts.push(value);
    groups.set(key, group);
  }
  for (const [key, { bounds, counts }] of groups) {
    assert.deepEqual(
      bounds,
      [...bounds].sort((a, b) => a - b),
      `${name} ${key}: bounds ascend`,
    );
    assert.deepEqual(
      counts,
      [...counts].sort((a, b) => a - b),
      `${name} ${key}: counts are sums`,
    );
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY, `${name} ${key} ends with +Inf`);
    const total = samples.find((sample) => {
      return sample.name === `${name}_count` && sortedLabels(sample.labels) === key;
    });
    assert.equal(total?.value, counts.at(-1), `${name} ${key}: count is the last bucket`);
  }
}

function sortedLabels(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
