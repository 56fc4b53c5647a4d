import { type GitRepository, tryGit } from './git-command.ts';

/** `Name <email>` as git would write it into a commit, where it can. */
export async function committerName({ topLevel }: GitRepository): Promise<string | undefined> {
  const { status, stdout } = await tryGit(topLevel, ['var', 'GIT_COMMITTER_IDENT']);
  return status === 0
    ? stdout
        .toString()
        .trim()
        .replace(/ \d+ [+-]\d{4}$/, '')
    : undefined;
}
