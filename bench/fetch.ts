import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ObjectDatabase, openObjectDatabase } from '../src/git/object-database.ts';
import { openRemote } from '../src/git/open-remote.ts';
import type { FetchStats } from '../src/git/remote.ts';
import { readModuleTree } from '../src/source/module-tree.ts';
import { startGitServer } from '../test/support/git-server.ts';
import { gitEnvironment } from '../test/support/repository.ts';

const moduleCount = 60;
const filesPerModule = 167;
const commitCount = 3000;
const runs = 5;

/** One line of the bench table. */
interface FetchRow {
  readonly what: string;
  readonly measured: string;
  readonly floor: string;
  readonly ratio: number | undefined;
  readonly target: string;
}

/**
 * Bytes and time of fetching one module and all modules of a platform of 60 modules, 10,000 files and
 * 3,000 commits, against the packs that git makes of those trees and one ls-refs round trip.
 */
export async function benchFetch(): Promise<FetchRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-'));
  const bare = join(directory, 'platform.git');
  importPlatform(bare);
  const server = await startGitServer(directory);
  try {
    const trees = moduleTrees(bare);
    const url = `${server.url}/platform.git`;
    const lsRefsMs = await medianOf(() => timeLsRefs(url));
    const one = await measure(directory, url, trees.slice(0, 1));
    const all = await measure(directory, url, trees);
    const whole = packBytes(bare, ['main']);
    return [
      bytesRow('one module fetched', one.stats, packBytes(bare, trees.slice(0, 1))),
      timeRow('one module fetched and read', one.ms, lsRefsMs),
      bytesRow('all 60 modules fetched', all.stats, packBytes(bare, trees)),
      timeRow('all 60 modules fetched and read', all.ms, lsRefsMs),
      bytesRow('first contact: the tip’s commit', one.contact, whole, 'constant in history'),
    ];
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Measured {
  readonly contact: FetchStats;
  readonly stats: FetchStats;
  readonly ms: number;
}

/** The median run of several into an empty database each. */
async function measure(
  directory: string,
  url: string,
  trees: readonly string[],
): Promise<Measured> {
  const measured: Measured[] = [];
  for (let run = 0; run < runs; run++) {
    const gitdir = mkdtempSync(join(directory, 'root-'));
    const database = await openObjectDatabase(gitdir);
    const remote = openRemote(url, database);
    const contact = await remote.fetchCommits(await remote.resolveBranch('main'), undefined);
    const start = performance.now();
    const stats = await remote.fetchTrees(trees);
    await readAll(database, trees);
    measured.push({ contact, stats, ms: performance.now() - start });
    await remote.close();
    database.dropCaches();
  }
  const [median] = measured.sort((a, b) => a.ms - b.ms).slice(Math.floor(runs / 2));
  if (median === undefined) throw new Error('nothing was measured');
  return median;
}

async function readAll(database: ObjectDatabase, trees: readonly string[]): Promise<void> {
  for (const tree of trees) {
    for await (const file of await readModuleTree(database, tree, tree)) void file;
  }
}

async function timeLsRefs(url: string): Promise<number> {
  const database = await openObjectDatabase(mkdtempSync(join(tmpdir(), 'ringlock-bench-')));
  const remote = openRemote(url, database);
  try {
    await remote.resolveBranch('main');
    const start = performance.now();
    await remote.resolveBranch('main');
    return performance.now() - start;
  } finally {
    await remote.close();
    rmSync(database.gitdir, { recursive: true, force: true });
  }
}

async function medianOf(once: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) times.push(await once());
  return times.sort((a, b) => a - b)[Math.floor(runs / 2)] ?? Number.NaN;
}

function importPlatform(bare: string): void {
  const env = gitEnvironment;
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare], { env });
  const lines: string[] = [];
  const write = (path: string, content: string) =>
    lines.push(`M 100644 inline ${path}\ndata ${Buffer.byteLength(content)}\n${content}`);
  for (let commit = 0; commit < commitCount; commit++) {
    lines.push(
      'commit refs/heads/main',
      `committer Ada <ada@example.com> ${1_700_000_000 + commit} +0000\ndata 4\nstep`,
    );
    if (commit === 0) {
      for (let module = 0; module < moduleCount; module++) {
        const manifest = { name: `M${module}`, alias: `m${module}`, version: '1.0.0' };
        write(`modules/M${module}/module.json`, JSON.stringify(manifest));
        for (let file = 1; file < filesPerModule; file++) {
          write(sourcePath(module, file), sourceText(module, file, 0));
        }
      }
    } else {
      const [module, file] = [commit % moduleCount, 1 + (commit % (filesPerModule - 1))];
      write(sourcePath(module, file), sourceText(module, file, commit));
    }
  }
  const input = `${lines.join('\n')}\n`;
  execFileSync('git', ['fast-import', '--quiet'], { cwd: bare, env, input });
  execFileSync('git', ['repack', '-adq'], { cwd: bare, env });
}

function sourcePath(module: number, file: number): string {
  return `modules/M${module}/src/part${file % 10}/File${file}.php`;
}

/** About 4 KB that compress as source code does: words that come again, numbers that do not. */
function sourceText(module: number, file: number, edit: number): string {
  const lines: string[] = [`<?php // module ${module}, file ${file}, edit ${edit}`];
  let state = module * 1000 + file;
  for (let line = 0; line < 90; line++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    lines.push(`  $value${state % 97} = $this->compute(${state}, ${line});`);
  }
  return lines.join('\n');
}

function moduleTrees(bare: string): string[] {
  const listed = execFileSync('git', ['ls-tree', 'main:modules'], { cwd: bare, encoding: 'utf8' });
  return [...listed.matchAll(/^040000 tree ([0-9a-f]{40})/gm)].map((match) => match[1] ?? '');
}

function packBytes(bare: string, revisions: readonly string[]): number {
  const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q'], {
    cwd: bare,
    env: gitEnvironment,
    input: `${revisions.join('\n')}\n`,
    maxBuffer: 1 << 30,
  });
  return stdout.length;
}

function bytesRow(
  what: string,
  { bytes }: FetchStats,
  floor: number,
  target = '≤ 1.1 ×',
): FetchRow {
  return {
    what: `${what}, bytes`,
    measured: `${bytes} B`,
    floor: `pack: ${floor} B`,
    ratio: bytes / floor,
    target,
  };
}

function timeRow(what: string, ms: number, floorMs: number): FetchRow {
  return {
    what: `${what}, time`,
    measured: `${ms.toFixed(0)} ms`,
    floor: `ls-refs: ${floorMs.toFixed(0)} ms`,
    ratio: ms / floorMs,
    target: '—',
  };
}
