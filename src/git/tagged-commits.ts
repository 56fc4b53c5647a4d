import { type GitRepository, runGit } from './git-command.ts';

/** The commits that this repository's tags point to, annotated or not. */
export async function taggedCommits({ topLevel }: GitRepository): Promise<string[]> {
  const format =
    '--format=%(if)%(*objecttype)%(then)%(*objecttype) %(*objectname)%(else)%(objecttype) %(objectname)%(end)';
  const listed = await runGit(topLevel, ['for-each-ref', format, 'refs/tags']);
  return listed.split('\n').flatMap((line) => {
    const [type, oid = ''] = line.split(' ');
    return type === 'commit' ? [oid] : [];
  });
}
