/** Names and values that tell the series of one metric apart. */
export type Labels = Readonly<Record<string, string>>;

/** Numbers that only grow, by labels. As cheap as a map: made for what is counted and seldom read. */
export class Counts {
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  /** @param known series that are there from the start, at 0, so that the first event is an increase */
  constructor(known: readonly Labels[] = []) {
    for (const labels of known) this.add(labels, 0);
  }

  add(labels: Labels = {}, by = 1): void {
    const key = JSON.stringify(labels);
    const known = this.#values.get(key);
    if (known === undefined) this.#values.set(key, { labels, value: by });
    else known.value += by;
  }

  *[Symbol.iterator](): Generator<{ readonly labels: Labels; readonly value: number }> {
    yield* this.#values.values();
  }
}

export interface Distribution {
  readonly labels: Labels;
  /** How many observations each bucket has, not those below it; one more than there are bounds. */
  readonly counts: readonly number[];
  /** In seconds. */
  readonly sum: number;
}

/** How long things took, as a histogram for each set of labels. */
export class Durations {
  /** Upper bounds of the buckets in seconds, ascending. */
  readonly bounds: readonly number[];
  readonly #series = new Map<string, { labels: Labels; counts: number[]; sum: number }>();

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
  }

  observe(labels: Labels, ms: number): void {
    const key = JSON.stringify(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, counts: new Array<number>(this.bounds.length + 1).fill(0), sum: 0 };
      this.#series.set(key, series);
    }
    const seconds = Math.max(0, ms) / 1000;
    const found = this.bounds.findIndex((bound) => seconds <= bound);
    const bucket = found < 0 ? this.bounds.length : found;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += seconds;
  }

  *[Symbol.iterator](): Generator<Distribution> {
    yield* this.#series.values();
  }
}
