// No container is built here: what can be known of one without that is asserted of the Dockerfile's own
// lines, and the program is run from nothing but the files that it copies.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { filesBelow, filesLockedAt } from './support/deploy.ts';
import { serveGit } from './support/git-server.ts';
import { createPlatform } from './support/platform.ts';
import { temporaryDirectory } from './support/temporary.ts';

const top = join(import.meta.dirname, '..');

interface Instruction {
  readonly name: string;
  /** Without flags. */
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
  readonly text: string;
}

interface Stage {
  readonly from: Instruction;
  readonly instructions: readonly Instruction[];
}

/** The stages of the Dockerfile, comments and continued lines resolved. */
function readStages(): Stage[] {
  const lines = readFileSync(join(top, 'Dockerfile'), 'utf8')
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: { from: Instruction; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, name = '', text = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? assert.fail(line);
    const parts = text.trim().split(/\s+/);
    const flags = parts.filter((part) => part.startsWith('--'));
    const instruction = {
      ...{ name, text: text.trim() },
      words: parts.filter((part) => !part.startsWith('--')),
      flags: Object.fromEntries(flags.map((flag) => flag.slice(2).split(/=(.*)/s))),
    };
    if (name === 'FROM') stages.push({ from: instruction, instructions: [] });
    else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

const stages = readStages();
const final = stages.at(-1) as Stage;
const called = (name: string, stage = final) =>
  stage.instructions.filter((instruction) => instruction.name === name);

/** What a builder is sent of the work tree: the rules of .dockerignore, the last one that fits. */
function isSent(path: string): boolean {
  const rules = readFileSync(join(top, '.dockerignore'), 'utf8').split('\n');
  return rules
    .filter((rule) => rule !== '' && !rule.startsWith('#'))
    .reduce((sent, rule) => {
      const pattern = rule.replace(/^!/, '').replace(/\/$/, '');
      const fits = pattern === '*' || path === pattern || path.startsWith(`${pattern}/`);
      return fits ? rule.startsWith('!') : sent;
    }, true);
}

test('the final stage runs nothing, and runs as a user who is not root, known by number', () => {
  assert.deepEqual(called('RUN'), [], 'the image has no shell to run it');
  assert.deepEqual(called('SHELL'), []);
  const [user, ...others] = called('USER');
  assert.equal(others.length, 0);
  assert.match(user?.text ?? '', /^[1-9]\d*:[1-9]\d*$/);
  assert.match(called('ENV')[0]?.text ?? '', /\bHOME=\/tmp\b/, 'for users without a passwd entry');
  const [entry] = called('ENTRYPOINT');
  assert.deepEqual(JSON.parse(entry?.text ?? ''), [
    ...['/usr/bin/tini', '--', '/usr/bin/node', '/app/dist/cli.js'],
  ]);
});

test('every image is one that a digest was given for, and what is downloaded has a checksum', () => {
  const given = /^\$\{(NODE|RUNTIME)_IMAGE\}$/;
  for (const { from } of stages) {
    const [image = ''] = from.words;
    // A stage that is named by the processor is one of tini's, which are named below.
    const isKnown =
      image === 'scratch' || given.test(image) || /^tini-\$\{TARGETARCH\}$/.test(image);
    assert.ok(isKnown, image);
  }
  assert.match(final.from.words[0] ?? '', /^\$\{RUNTIME_IMAGE\}$/);
  const text = readFileSync(join(top, 'Dockerfile'), 'utf8');
  assert.match(text, /^ARG NODE_IMAGE\nARG RUNTIME_IMAGE\n/m, 'without a default');
  const added = stages.flatMap((stage) => called('ADD', stage));
  assert.equal(added.length, 2);
  for (const { flags, words } of added) {
    assert.match(flags['checksum'] ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.match(words[0] ?? '', /^https:\/\//);
  }
  const runs = stages.flatMap((stage) => called('RUN', stage)).map((run) => run.text);
  for (const run of runs) assert.doesNotMatch(run, /apt|npm i(nstall)?\b|curl|wget/);
  assert.ok(runs.some((run) => run.startsWith('npm ci --ignore-scripts')));
});

test('what is copied is there and reaches the builder, and nothing else does', () => {
  const sources = stages
    .flatMap((stage) => called('COPY', stage))
    .filter(({ flags }) => flags['from'] === undefined)
    .flatMap(({ words }) => words.slice(0, -1));
  assert.ok(sources.length > 0);
  for (const source of sources) {
    assert.ok(existsSync(join(top, source)), `${source} is in the repository`);
    assert.ok(isSent(source.replace(/\/$/, '')), `${source} reaches the builder`);
  }
  for (const path of [
    '.git/config',
    'node_modules/yaml',
    '.env',
    'dist/cli.js',
    'test/image.test.ts',
  ]) {
    assert.equal(isSent(path), false, path);
  }
  const unused = readdirSync(top).filter(
    (name) => isSent(name) && !sources.some((source) => source.split('/')[0] === name),
  );
  assert.deepEqual(unused, []);
});

test('the program converges a root with the files of the image alone and no git', async (t) => {
  const image = temporaryDirectory(t, 'image');
  for (const { flags, words } of called('COPY')) {
    // Node is this one, and tini only starts it.
    if (flags['from'] === 'node' || flags['from'] === 'tini') continue;
    const target = join(image, words.at(-1) ?? '');
    for (const source of words.slice(0, -1)) {
      const isBuilt = flags['from'] === 'bundle';
      const from = join(top, isBuilt ? source.replace(/^\/build\//, '') : source);
      mkdirSync(isBuilt ? dirname(target) : target, { recursive: true });
      cpSync(from, isBuilt ? target : join(target, basename(source)), { recursive: true });
    }
  }
  const bytes = sizeOf(image);
  assert.ok(bytes < 8e6, `the bundle has ${bytes} bytes, and docs/kubernetes.md counts on 8 MB`);

  const platform = createPlatform(t);
  const bare = platform.addRemote(t);
  const server = await serveGit(t, dirname(bare));
  const root = temporaryDirectory(t, 'root');
  const repo = `${server.url}/${basename(bare)}`;
  const args = ['reconcile', '--once', '--repo', repo, '--ring', 'canary', '--root', root];
  const { code, output } = await run(join(image, 'app/dist/cli.js'), args, image);
  assert.equal(code, 0, output);
  const expected = filesLockedAt(platform, platform.git('rev-parse', 'HEAD'), 'canary');
  const found = filesBelow(join(root, 'current'));
  for (const [path, content] of Object.entries(expected)) assert.equal(found[path], content, path);
});

/** With an environment that has no PATH, as a container without a shell. */
function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd,
      env: { PATH: '', NODE_ENV: 'production' },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => (output += chunk));
    }
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
