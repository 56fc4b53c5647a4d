import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The whole environment of a child process: a list of what it may see, never a list of what it may
 * not, so that a credential under a name nobody thought of stays with the sidecar (invariant 8).
 *
 * @param temporary a directory of this one run: TMPDIR, and HOME unless another is given
 * @param facts what the child is told of the operation; undefined ones are left out
 */
export function childEnvironment(
  parent: NodeJS.ProcessEnv,
  temporary: string,
  facts: Readonly<Record<string, string | undefined>>,
  home = temporary,
): NodeJS.ProcessEnv {
  const inherited = Object.entries(parent).filter(([name]) => inheritedName.test(name));
  const told = Object.entries(facts).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries([...inherited, ...told]), HOME: home, TMPDIR: temporary };
}

const inheritedName = /^(PATH|LANG|LC_[A-Z]+|TZ|NODE_ENV)$/;

/**
 * A directory that lasts as long as what runs with it.
 *
 * @param unwritable the error to throw where none can be made
 */
export async function withTemporaryDirectory<T>(
  parent: NodeJS.ProcessEnv,
  unwritable: (directory: string, cause: unknown) => Error,
  run: (directory: string) => Promise<T>,
): Promise<T> {
  const base = parent['TMPDIR'] || tmpdir();
  let directory: string;
  try {
    directory = await mkdtemp(join(base, 'ringlock-'));
  } catch (error) {
    throw unwritable(base, error);
  }
  try {
    return await run(directory);
  } finally {
    // What a program made unremovable there is no reason to call the program failed.
    await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}
