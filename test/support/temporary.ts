import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';

/** A directory of the test's own, removed after it (read-only content included). */
export function temporaryDirectory(t: TestContext, name = 'test'): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), `ringlock-${name}-`)));
  onEnd(t, () => rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  return path;
}
