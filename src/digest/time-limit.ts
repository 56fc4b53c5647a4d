import { createContext, Script } from 'node:vm';

let call: Script | undefined;
let context: { work: (() => unknown) | undefined } | undefined;

/**
 * Runs work that may take for ever, as an expression from elsewhere over text from elsewhere may: V8
 * ends an expression as well as a loop.
 *
 * @returns undefined when it took longer
 */
export function withinTime<Result>(limitMs: number, work: () => Result): Result | undefined {
  context ??= createContext({ work: undefined }) as { work: (() => unknown) | undefined };
  call ??= new Script('work()');
  context.work = work;
  try {
    return call.runInContext(context, { timeout: limitMs }) as Result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined;
    throw error;
  } finally {
    context.work = undefined;
  }
}
