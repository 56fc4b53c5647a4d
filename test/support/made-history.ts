import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { HandMadeRepository } from './hand-made-repository.ts';
import { createRepository, gitEnvironment, type Repository } from './repository.ts';

/** A commit as it is to be, byte for byte: texts are Latin-1, a byte each. */
export interface MadeCommit {
  /** Places of the parents in the history. */
  readonly parents: readonly number[];
  /** Paths and contents of all files. */
  readonly files: Readonly<Record<string, string>>;
  /** `Name <mail> seconds zone`. */
  readonly author?: string;
  readonly committer?: string;
  /** Lines between the committer and the message, each with its end. */
  readonly headers?: string;
  readonly message?: string;
}

const someone = 'Eve <eve@example.com> 1764000000 +0000';

/** Puts commits into a new repository whose HEAD is the last one. @returns their ids too */
export function makeHistory(
  t: TestContext,
  commits: readonly MadeCommit[],
): { readonly repository: Repository; readonly oids: readonly string[] } {
  const repository = createRepository(t);
  return { repository, oids: addHistory(repository, commits) };
}

/** The same in a repository that is there. */
export function addHistory(repository: Repository, commits: readonly MadeCommit[]): string[] {
  const made = new HandMadeRepository();
  const oids: string[] = [];
  for (const { parents, files, author, committer, headers, message } of commits) {
    const tree = made.files(files);
    const lines = [
      `tree ${tree}`,
      ...parents.map((parent) => `parent ${oids[parent]}`),
      `author ${author ?? someone}`,
      `committer ${committer ?? author ?? someone}`,
    ];
    const text = `${lines.join('\n')}\n${headers ?? ''}\n${message ?? 'A commit\n'}`;
    oids.push(made.add('commit', Buffer.from(text, 'latin1'), [tree]));
  }
  const unpacked = spawnSync('git', ['unpack-objects', '-q'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: made.packOf(oids, false),
  });
  if (unpacked.status !== 0) throw new Error(`${unpacked.stderr}`);
  repository.git('update-ref', '--no-deref', 'HEAD', oids.at(-1) ?? '');
  return oids;
}

/** Why tests that compare with git-subtree are skipped: some systems have it as a package of its own. */
export function subtreeMissing(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  const path = spawnSync('git', ['--exec-path'], { encoding: 'utf8' }).stdout.trim();
  return existsSync(join(path, 'git-subtree')) ? undefined : 'git subtree is not installed';
}

/** What the installed git makes of it; git-subtree wants the directory in the work tree too. */
export function subtreeSplit(repository: Repository, prefix: string, revision = 'HEAD') {
  mkdirSync(join(repository.path, prefix), { recursive: true });
  return repository.tryGit('subtree', 'split', '-q', `--prefix=${prefix}`, revision);
}
