import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ObjectDatabase, openObjectDatabase } from '../../src/git/object-database.ts';
import { openRemote, type RemoteOptions } from '../../src/git/open-remote.ts';
import type { Remote } from '../../src/git/remote.ts';
import { type GitServer, type GitServerOptions, serveGit } from './git-server.ts';
import { createRepository, gitEnvironment, type Repository } from './repository.ts';
import { temporaryDirectory } from './temporary.ts';

/** A repository, a bare one that it pushes to, a server of that one, and a database to fetch into. */
export interface ServedRepository {
  readonly repository: Repository;
  readonly server: GitServer;
  readonly url: string;
  /** The served repository's path. */
  readonly bare: string;
  readonly database: ObjectDatabase;
  /** Closed when the test ends. */
  remote(options?: RemoteOptions, url?: string): Remote;
  /** Pushes every branch and tag. */
  publish(): void;
}

export async function serveRepository(
  t: TestContext,
  options: GitServerOptions = {},
): Promise<ServedRepository> {
  const repository = createRepository(t);
  const served = temporaryDirectory(t, 'served');
  const bare = join(served, 'platform.git');
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare], { env: gitEnvironment });
  const server = await serveGit(t, served, options);
  const url = `${server.url}/platform.git`;
  const database = await openObjectDatabase(join(temporaryDirectory(t, 'root'), 'repo.git'));
  return {
    repository,
    server,
    url,
    bare,
    database,
    remote: (transport = {}, from = url) => {
      const remote = openRemote(from, database, { retryDelayMs: 1, ...transport });
      t.after(() => remote.close());
      return remote;
    },
    publish: () => {
      repository.git('push', '-q', '--force', '--prune', bare, 'refs/heads/*:refs/heads/*');
      repository.git('push', '-q', '--force', bare, 'refs/tags/*:refs/tags/*');
    },
  };
}

/** What stands in a database's object folders, to show that nothing changed. */
export function packFiles(database: ObjectDatabase): string[] {
  return ['objects', 'incoming'].flatMap((name) => {
    const directory = join(database.gitdir, name);
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  });
}
