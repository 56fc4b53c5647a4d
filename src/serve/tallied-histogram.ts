import { Histogram } from 'prom-client';
import type { Durations } from '../reconcile/counts.ts';

export interface HistogramNames {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** A histogram whose observations were counted elsewhere, before this library was loaded. */
export class TalliedHistogram extends Histogram {
  readonly #names: HistogramNames;
  readonly #durations: Durations;

  constructor(names: HistogramNames, durations: Durations) {
    const { name, help, labelNames } = names;
    super({
      name,
      help,
      labelNames: [...labelNames],
      buckets: [...durations.bounds],
      registers: [],
    });
    this.#names = names;
    this.#durations = durations;
  }

  /** What the registry makes text of: the method that prom-client's own histogram has for it. */
  async getForPromString() {
    const { name, help } = this.#names;
    const { bounds } = this.#durations;
    const values = [...this.#durations].flatMap(({ labels, counts, sum }) => {
      let below = 0;
      const buckets = counts.map((count, index) => {
        below += count;
        const le = bounds[index] ?? '+Inf';
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: below },
      ];
    });
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }
}
