import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ObjectDatabase, openObjectDatabase } from '../src/git/object-database.ts';
import { openRemote } from '../src/git/open-remote.ts';
import { readModuleTree } from '../src/source/module-tree.ts';
import { startGitServer } from '../test/support/git-server.ts';
import { type BenchRow, bytesRow, medianMs, run, timeRow } from './support/measure.ts';
import { benchEnvironment } from './support/platform-repository.ts';

/**
 * Bytes and time of fetching one module and all modules over HTTP, against the packs that git makes
 * of those trees and one ls-refs round trip.
 *
 * @param repository the large platform
 */
export async function benchFetch(repository: string): Promise<BenchRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-'));
  const bare = join(directory, 'platform.git');
  run(directory, 'git', ['clone', '-q', '--bare', repository, bare]);
  const server = await startGitServer(directory);
  const url = `${server.url}/platform.git`;
  try {
    const trees = moduleTrees(bare);
    const [first = ''] = trees;
    const roundTrip = ['one ls-refs', await lsRefsMs(url)] as const;
    const one = await fetchAndRead(directory, url, [first]);
    const all = await fetchAndRead(directory, url, trees);
    const packOf = (name: string, revisions: readonly string[]) =>
      [name, packBytes(bare, revisions)] as const;
    const what = `${trees.length} modules`;
    return [
      bytesRow('bytes to install one module', one.bytes, packOf('its pack', [first]), '≤ 1.1'),
      timeRow('one module fetched and read', one.ms, roundTrip, ''),
      bytesRow(`bytes to install all ${what}`, all.bytes, packOf('their pack', trees), '≤ 1.1'),
      timeRow(`all ${what} fetched and read`, all.ms, roundTrip, ''),
      bytesRow('bytes of first contact', one.contact, packOf('the whole pack', ['main']), ''),
    ];
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Into an empty database each time. */
async function fetchAndRead(directory: string, url: string, trees: readonly string[]) {
  let contact = 0;
  let bytes = 0;
  const prepare = async () => {
    const database = await openObjectDatabase(mkdtempSync(join(directory, 'root-')));
    const remote = openRemote(url, database);
    const tip = await remote.resolveBranch('main');
    contact = (await remote.fetchCommits(tip, undefined)).bytes;
    return { database, remote };
  };
  let opened = await prepare();
  const ms = await medianMs(
    3,
    async () => {
      bytes = (await opened.remote.fetchTrees(trees)).bytes;
      await readAll(opened.database, trees);
    },
    async () => {
      await opened.remote.close();
      opened.database.dropCaches();
      opened = await prepare();
    },
  );
  await opened.remote.close();
  return { contact, bytes, ms };
}

async function readAll(database: ObjectDatabase, trees: readonly string[]): Promise<void> {
  for (const tree of trees) {
    for await (const file of await readModuleTree(database, tree, tree)) void file;
  }
}

async function lsRefsMs(url: string): Promise<number> {
  const database = await openObjectDatabase(mkdtempSync(join(tmpdir(), 'ringlock-bench-')));
  const remote = openRemote(url, database);
  try {
    return await medianMs(9, () => remote.resolveBranch('main'));
  } finally {
    await remote.close();
    rmSync(database.gitdir, { recursive: true, force: true });
  }
}

function moduleTrees(bare: string): string[] {
  const listed = execFileSync('git', ['ls-tree', 'main:modules'], { cwd: bare, encoding: 'utf8' });
  return [...listed.matchAll(/^040000 tree ([0-9a-f]{40})/gm)].map((match) => match[1] ?? '');
}

/** The size of the pack that git makes of revisions and all they contain. */
function packBytes(bare: string, revisions: readonly string[]): number {
  const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q'], {
    cwd: bare,
    env: benchEnvironment,
    input: `${revisions.join('\n')}\n`,
    maxBuffer: 1 << 30,
  });
  return stdout.length;
}
