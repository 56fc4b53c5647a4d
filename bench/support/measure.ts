/** One line of the bench table: what was measured, against what floor, and what is aimed for. */
export interface BenchRow {
  readonly what: string;
  readonly measured: string;
  readonly floor: string;
  /** Measured divided by the floor; undefined where there is no floor. */
  readonly ratio: number | undefined;
  readonly target: string;
}

/** Median milliseconds of several runs after one that is not counted. */
export async function medianMs(
  runs: number,
  run: () => Promise<unknown> | unknown,
): Promise<number> {
  await run();
  const times: number[] = [];
  for (let index = 0; index < runs; index++) {
    const startedAt = performance.now();
    await run();
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

/**
 * Median milliseconds of two things run in turn, so that a machine whose speed drifts slows both, and
 * the median of their ratios pair by pair.
 */
export async function medianPair(
  runs: number,
  measured: () => Promise<unknown> | unknown,
  floor: () => Promise<unknown> | unknown,
): Promise<{ measuredMs: number; floorMs: number; ratio: number }> {
  await measured();
  await floor();
  const pairs: { a: number; b: number }[] = [];
  for (let index = 0; index < runs; index++) {
    const startedAt = performance.now();
    await measured();
    const between = performance.now();
    await floor();
    pairs.push({ a: between - startedAt, b: performance.now() - between });
  }
  return {
    measuredMs: median(pairs.map(({ a }) => a)),
    floorMs: median(pairs.map(({ b }) => b)),
    ratio: median(pairs.map(({ a, b }) => a / b)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function showMs(ms: number): string {
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}
