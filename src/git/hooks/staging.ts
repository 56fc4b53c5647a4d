import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type GitRepository, runGit, runGitBytes, tryGit } from '../git-command.ts';
import { indexFile } from '../tree-snapshot.ts';

/** A lock that a hook put into an index; ids are of blobs, undefined where there was none. */
interface StagedLock {
  readonly file: string;
  readonly before: string | undefined;
  readonly after: string;
}

/**
 * Puts a lock into the index that is being committed, and into the work tree where nobody edited it.
 * During `git commit <path>` git holds the real index's lock and commits a temporary one: then only
 * that one is written, and finishPartialCommit() does the rest after the commit.
 *
 * @returns what became of the copy in the work tree
 */
export async function stageLock(
  repository: GitRepository,
  file: string,
  text: string,
): Promise<'written' | 'edited' | 'later'> {
  const { topLevel } = repository;
  const [before, after] = await Promise.all([
    indexedBlob(repository, file),
    runGit(topLevel, ['hash-object', '-w', '--stdin'], { input: text }),
  ]);
  const edited = await isEdited(repository, file, before, after);
  await setIndexed(repository, file, after);
  if (isPartialCommit(repository)) {
    await rememberStaged(repository, { file, before, after });
    return 'later';
  }
  if (edited) return 'edited';
  await checkOut(repository, file);
  return 'written';
}

/** git names the temporary index of a partial commit `next-index-<process id>.lock`. */
function isPartialCommit(repository: GitRepository): boolean {
  return /^next-index-\d+\.lock$/.test(basename(indexFile(repository)));
}

/**
 * After a partial commit: brings the real index and the unedited work tree in line with the locks
 * that pre-commit staged, if they are what was committed.
 */
export async function finishPartialCommit(repository: GitRepository): Promise<void> {
  for (const { file, before, after } of await takeRemembered(repository)) {
    if ((await committedBlob(repository, file)) !== after) continue;
    const indexed = await indexedBlob(repository, file);
    const edited = await isEdited(repository, file, indexed, after);
    // Another lock that somebody staged meanwhile is theirs; the next commit's hook mends it.
    if (indexed !== before && indexed !== (await committedBlob(repository, file, 'HEAD^')))
      continue;
    await setIndexed(repository, file, after);
    if (!edited) await checkOut(repository, file);
  }
}

/** Whether the work tree's copy is neither what the index had nor what it gets. */
async function isEdited(
  { topLevel }: GitRepository,
  file: string,
  before: string | undefined,
  after: string,
): Promise<boolean> {
  if (!existsSync(join(topLevel, file))) return before !== undefined;
  const found = await runGit(topLevel, ['hash-object', '--', file]);
  return found !== before && found !== after;
}

async function indexedBlob({ topLevel }: GitRepository, file: string): Promise<string | undefined> {
  const listed = (await runGitBytes(topLevel, ['ls-files', '-s', '-z', '--', file])).toString();
  // Stage 0 only: a file in conflict has no one blob.
  return /^\d+ ([0-9a-f]+) 0\t/.exec(listed)?.[1];
}

async function committedBlob(
  { topLevel }: GitRepository,
  file: string,
  commit = 'HEAD',
): Promise<string | undefined> {
  const found = await tryGit(topLevel, ['rev-parse', '--verify', '--quiet', `${commit}:${file}`]);
  return found.status === 0 ? found.stdout.toString().trim() : undefined;
}

async function setIndexed({ topLevel }: GitRepository, file: string, blob: string): Promise<void> {
  await runGit(topLevel, ['update-index', '--add', '--cacheinfo', `100644,${blob},${file}`]);
}

/** Through git, so that line-ending and filter settings of this clone apply. */
async function checkOut({ topLevel }: GitRepository, file: string): Promise<void> {
  await runGit(topLevel, ['checkout-index', '-f', '-u', '-q', '--', file]);
}

function rememberedFile({ gitDir }: GitRepository): string {
  return join(gitDir, 'ringlock', 'partial-commit.json');
}

async function rememberStaged(repository: GitRepository, staged: StagedLock): Promise<void> {
  const all = [...(await readRemembered(repository)), staged];
  const file = rememberedFile(repository);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(all.filter((one, at) => lastOf(all, one.file) === at)));
}

function lastOf(all: readonly StagedLock[], file: string): number {
  return all.findLastIndex((one) => one.file === file);
}

async function takeRemembered(repository: GitRepository): Promise<StagedLock[]> {
  const found = await readRemembered(repository);
  await rm(rememberedFile(repository), { force: true });
  return found;
}

async function readRemembered(repository: GitRepository): Promise<StagedLock[]> {
  try {
    return JSON.parse(await readFile(rememberedFile(repository), 'utf8')) as StagedLock[];
  } catch {
    // Not there, or cut off: the next commit's hook finds the lock stale and mends it.
    return [];
  }
}
