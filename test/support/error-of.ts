import assert from 'node:assert/strict';
import { RinglockError } from '../../src/errors.ts';

/** What an action that has to fail throws. */
export async function errorOf(action: Promise<unknown>): Promise<RinglockError> {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof RinglockError, `expected a RinglockError, got ${String(error)}`);
  return error;
}
