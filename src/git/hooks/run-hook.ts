import { badInput } from '../../errors.ts';
import { findRepository } from '../git-command.ts';
import { hookNames } from './install.ts';
import type { HookOutcome } from './outcome.ts';
import { postCommit, postRewrite } from './post-commit.ts';
import { preCommit } from './pre-commit.ts';
import { prePush } from './pre-push.ts';

export interface HookCall {
  /** The work tree's top, where git starts hooks. */
  readonly cwd: string;
  readonly name: string;
  /** As git gave them to the hook. */
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly readInput: () => Promise<string>;
}

/** Runs one of ringlock's git hooks. @throws RinglockError `unknown-hook`, and what reading throws */
export async function runHook(call: HookCall): Promise<HookOutcome> {
  const { name, environment } = call;
  const repository = await findRepository(call.cwd);
  if (name === 'pre-commit' || name === 'pre-merge-commit') {
    return preCommit(repository, name, environment);
  }
  if (name === 'post-commit') return postCommit(repository);
  if (name === 'post-rewrite') return postRewrite(repository, call.args[0]);
  if (name === 'pre-push') return prePush(repository, await call.readInput());
  throw badInput('unknown-hook', `there is no hook ${JSON.stringify(name)}`, {
    hint: `Hooks: ${hookNames.join(', ')}.`,
  });
}
