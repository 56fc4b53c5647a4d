import type { TestContext } from 'node:test';

const pending = new WeakMap<TestContext, (() => Promise<unknown> | unknown)[]>();

/**
 * Runs at the end of a test, the last registered first: what was started in a directory ends before
 * the directory is removed. (node:test runs its own hooks in the order of registration.)
 */
export function onEnd(t: TestContext, clean: () => Promise<unknown> | unknown): void {
  const known = pending.get(t);
  if (known !== undefined) {
    known.push(clean);
    return;
  }
  const cleaners = [clean];
  pending.set(t, cleaners);
  t.after(async () => {
    for (const next of cleaners.reverse()) await next();
  });
}
