const longestTimerMs = 2 ** 31 - 1;

/** What setTimeout() takes: for more than 24.8 days it would fire at once. */
export function timerMs(ms: number): number {
  return Math.min(ms, longestTimerMs);
}
