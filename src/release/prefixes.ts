import { badInput } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { withObjects } from '../git/object-batch.ts';
import { subdirectoriesAt } from './committed-modules.ts';

/**
 * The directories that `--prefix` values name in a commit, each once: `packages/*` means every child.
 *
 * @throws RinglockError `invalid-prefix`, `no-such-directory`
 */
export async function expandPrefixes(
  repository: GitRepository,
  commit: string,
  prefixes: readonly string[],
): Promise<string[]> {
  return withObjects(repository, async (objects) => {
    const found: string[] = [];
    for (const given of prefixes) {
      const prefix = canonicalPrefix(given);
      const isPattern = prefix === '*' || prefix.endsWith('/*');
      const folder = isPattern ? prefix.slice(0, -2) : prefix.slice(0, prefix.lastIndexOf('/'));
      const parent = isPattern || prefix.includes('/') ? folder : '';
      const children = (await subdirectoriesAt(objects, commit, parent)).map(({ path }) =>
        parent === '' ? path : `${parent}/${path}`,
      );
      const wanted = isPattern ? children : children.filter((path) => path === prefix);
      if (wanted.length === 0) throw absent(given, commit);
      refuseUnprintable(wanted);
      found.push(...wanted);
    }
    return [...new Set(found)];
  });
}

function canonicalPrefix(given: string): string {
  const segments = given.split('/').filter((segment) => segment !== '' && segment !== '.');
  const isBad = given.startsWith('/') || segments.includes('..') || /[\0\n]/.test(given);
  if (!isBad && segments.length > 0 && !segments.slice(0, -1).includes('*')) {
    return segments.join('/');
  }
  throw badInput(
    'invalid-prefix',
    `--prefix ${JSON.stringify(given)} is no directory of the repository, expected one as packages/tool, or packages/* for every child`,
  );
}

/** One commit and directory a line is read by programs: a name must not look like two. */
function refuseUnprintable(directories: readonly string[]): void {
  const bad = directories.find((directory) => /\p{Cc}/u.test(directory));
  if (bad === undefined) return;
  throw badInput(
    'invalid-prefix',
    `the directory ${JSON.stringify(bad)} has a control character in its name, expected none`,
    { hint: 'Name the others one by one with --prefix, or rename it.' },
  );
}

function absent(given: string, commit: string): Error {
  return badInput('no-such-directory', `${given} is no directory in commit ${commit}`, {
    hint: 'Name one from the top of the repository, as it is committed.',
  });
}
