import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { onEnd } from './cleanup.ts';

/** A directory of the test's own, removed after it (read-only content included). */
export function temporaryDirectory(t: TestContext, name = 'test'): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), `ringlock-${name}-`)));
  onEnd(t, () => remove(path));
  return path;
}

/** What a killed process has left running may write there for a moment longer. */
async function remove(path: string, attempts = 20): Promise<void> {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (attempts === 0) throw error;
    await delay(100);
    await remove(path, attempts - 1);
  }
}
