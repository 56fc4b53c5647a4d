import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import type { Writable } from 'node:stream';

export interface PlatformShape {
  readonly modules: number;
  /** In all modules together. */
  readonly files: number;
  readonly commits: number;
  /** Mean size of a file. */
  readonly bytes: number;
}

/** The large real-life shape that measurements are made on. */
const largePlatform: PlatformShape = {
  modules: 60,
  files: 10_000,
  commits: 3_000,
  bytes: 2_000,
};

/** The environment of git in measurements: nothing of this machine's configuration. */
export const benchEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'Bench',
  GIT_AUTHOR_EMAIL: 'bench@example.com',
  GIT_COMMITTER_NAME: 'Bench',
  GIT_COMMITTER_EMAIL: 'bench@example.com',
};

/**
 * Makes a platform repository with a long history through one `git fast-import`, and checks it out:
 * rings stable, edge and canary, no locks. Deterministic; each commit after the first changes one
 * file of one module and its version.
 *
 * @param path a directory that is made
 */
export async function makePlatformRepository(path: string, shape = largePlatform): Promise<void> {
  mkdirSync(path, { recursive: true });
  await git(path, ['init', '-q', '-b', 'main']);
  const importer = spawn('git', ['fast-import', '--quiet', '--date-format=raw'], {
    cwd: path,
    env: benchEnvironment,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const ended = once(importer, 'close');
  for (const part of history(shape)) await write(importer.stdin, part);
  importer.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`);
  await git(path, ['reset', '-q', '--hard', 'main']);
}

/** Name of the module at an index: `Module07`. */
export function moduleName(index: number): string {
  return `Module${String(index).padStart(2, '0')}`;
}

function* history(shape: PlatformShape): Generator<string> {
  const random = seededRandom(1);
  const perModule = Math.ceil(shape.files / shape.modules);
  yield commitHeader(0, 'Start');
  yield file('VERSION', '2.0.0\n');
  yield file('manifests/stable.ring.yaml', 'promotesFrom: edge\n');
  yield file('manifests/edge.ring.yaml', 'promotesFrom: canary\n');
  yield file('manifests/canary.ring.yaml', 'tracks: modules\n');
  for (let module = 0; module < shape.modules; module++) {
    yield file(`modules/${moduleName(module)}/module.json`, manifest(module, 0));
    for (let index = 1; index < perModule; index++) {
      yield file(sourcePath(module, index), text(random, shape.bytes));
    }
  }
  const patches = new Array<number>(shape.modules).fill(0);
  for (let commit = 1; commit < shape.commits; commit++) {
    const module = commit % shape.modules;
    const patch = (patches[module] ?? 0) + 1;
    patches[module] = patch;
    yield commitHeader(commit, `${moduleName(module)} 1.0.${patch}`);
    yield file(`modules/${moduleName(module)}/module.json`, manifest(module, patch));
    const index = 1 + Math.floor(random() * (perModule - 1));
    yield file(sourcePath(module, index), text(random, shape.bytes));
  }
  yield 'done\n';
}

function sourcePath(module: number, index: number): string {
  return `modules/${moduleName(module)}/src/part${index % 12}/file${index}.php`;
}

function manifest(module: number, patch: number): string {
  const name = moduleName(module);
  const dependencies = module === 0 ? {} : { [moduleName(module - 1).toLowerCase()]: '^1.0.0' };
  const value = { name, alias: name.toLowerCase(), version: `1.0.${patch}`, dependencies };
  return `${JSON.stringify(value, null, 2)}\n`;
}

function commitHeader(index: number, message: string): string {
  const time = 1_760_000_000 + index * 600;
  return `commit refs/heads/main\ncommitter Bench <bench@example.com> ${time} +0000\n${data(message)}`;
}

function file(path: string, content: string): string {
  return `M 100644 inline ${path}\n${data(content)}`;
}

function data(content: string): string {
  return `data ${Buffer.byteLength(content)}\n${content}\n`;
}

const words =
  'function return order price total module public private array string const if else'.split(' ');

/** Words at random, which compress about as source code does. */
function text(random: () => number, mean: number): string {
  const length = mean * (0.25 + 1.5 * random());
  let made = '';
  while (made.length < length) {
    const word = words[Math.floor(random() * words.length)];
    made += `${word}${Math.floor(random() * 1000)}${random() < 0.1 ? '\n' : ' '}`;
  }
  return `${made}\n`;
}

/** Mulberry32: the same numbers in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function write(stream: Writable, part: string): Promise<void> {
  if (!stream.write(part)) await once(stream, 'drain');
}

async function git(cwd: string, args: readonly string[]): Promise<void> {
  const child = spawn('git', args, { cwd, env: benchEnvironment, stdio: 'inherit' });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`git ${args[0]} ended with ${code}`);
}
