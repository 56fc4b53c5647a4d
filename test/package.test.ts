import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { moduleOf } from './loader/made-modules.ts';
import { deploy, openTestRoot } from './store/support.ts';
import { createPlatform } from './support/platform.ts';
import { createRepository, gitEnvironment } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary.ts';

const root = join(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** An empty folder with nothing but the packed product installed. */
let installed: string;

before((t) => {
  const context = t as TestContext;
  // A copy, since packing builds anew and other tests are using dist/.
  const copy = temporaryDirectory(context, 'pack');
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const built = ['src', 'scripts', 'package.json', 'tsconfig.json', 'tsconfig.types.json'];
  const shipped = (files as string[]).filter((name) => name !== 'dist');
  for (const name of [...built, ...shipped, 'README.md', 'LICENSE']) {
    if (existsSync(join(root, name)))
      cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  npm(copy, 'pack');
  installed = temporaryDirectory(context, 'installed');
  writeFileSync(join(installed, 'package.json'), '{"type": "module"}\n');
  npm(installed, 'install', '--offline', '--no-audit', join(copy, `ringlock-${version}.tgz`));
});

test('the package has what it needs and nothing else', () => {
  const folder = join(installed, 'node_modules/ringlock');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  for (const name of ['LICENSE', 'package.json', 'dist/index.d.ts', 'dist/cli.js']) {
    assert.ok(names.includes(name), `${name} is in the package`);
  }
  assert.ok(names.includes('manifests/schema/lock.schema.json'));
  const unwanted = names.filter((name) =>
    /(^|\/)tests?\/|\.test\.|\.map$|(^|\/)\.|\.tgz$/.test(name),
  );
  assert.deepEqual(unwanted, []);
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  assert.ok(bytes < 12 * 1024 * 1024, `the package has ${bytes} bytes, expected less than 12 MiB`);
  assert.deepEqual(
    readdirSync(join(installed, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['ringlock'],
  );
});

test('no path of the machine that built it is in the bundle', () => {
  // Of the build made in place: the packed copy reaches node_modules through a link out of itself.
  for (const entry of readdirSync(join(root, 'dist'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    assert.ok(!readFileSync(file).includes(`${root}/`), `${file} contains the path ${root}`);
  }
});

test('the installed program tells its version and its help', () => {
  assert.equal(run(installed, '--version').stdout, `${version}\n`);
  assert.match(run(installed, '--help').stdout, /ring promote/);
});

test('the installed program works on a repository that is not its own', (t) => {
  const platform = createPlatform(t);
  const { status, stdout, stderr } = run(platform.path, 'ring', 'list');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^canary +tracks modules/m);
});

test('the installed program starts a platform where there are only modules', (t) => {
  const repository = createRepository(t);
  repository.write({
    'modules/Orders/module.json': '{"name": "Orders", "alias": "orders", "version": "1.0.0"}\n',
  });
  for (const args of [
    ['init', '--rings', 'stable,canary', '--yes'],
    ['list'],
    ['lock', '--check'],
  ]) {
    const { status, stdout, stderr } = run(repository.path, ...args);
    assert.equal(status, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  }
  assert.equal(JSON.parse(repository.read('manifests/stable.lock.json')).ring, 'stable');
});

test('the installed library loads modules, and its types hold without any other package', async (t) => {
  writeFileSync(
    join(installed, 'use.ts'),
    `import { formatLock, type Lock, loadModules, parseLock, resolveModule, RinglockError, watchModules } from 'ringlock';
const text = '{"platform": "2.0.0", "modules": {}}';
const lock: Lock = parseLock(text, 'stable');
console.log(formatLock(lock).length > 0 ? lock.ring : '');
// @ts-expect-error a ring's name is a text
parseLock(text, 1);
const view = await loadModules('/srv/modules', { platformFile: undefined });
const paths: string[] = view.modules.map(({ path }) => path);
// @ts-expect-error a view is read-only
view.modules[0] = view.modules[1];
const { manifest } = await resolveModule('/srv/modules', 'orders');
const range: string | undefined = manifest.dependencies?.['products'];
const { signal } = new AbortController();
const watch = await watchModules('/srv/modules', async ({ generation }) => generation, { signal });
const reason: string | undefined = (await watch.look()).refused[0]?.reason;
const code = (error: unknown) => (error instanceof RinglockError ? error.code : undefined);
console.log(paths, range, reason, code(undefined));
`,
  );
  const tsc = join(root, 'node_modules/.bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
  const checked = spawnSync(tsc, [...options, '--types', '', 'use.ts'], {
    cwd: installed,
    encoding: 'utf8',
  });
  const errors = checked.stdout.split('\n').filter((line) => !/TS2584.*console/.test(line));
  assert.deepEqual(errors.filter(Boolean), []);
  const served = await openTestRoot(t);
  await deploy(served, moduleOf('orders', '1.0.0'));
  const script = `import { loadModules, parseLock } from 'ringlock';
const { modules } = await loadModules(process.argv[1]);
console.log(parseLock('{"platform": "2.0.0", "modules": {}}', 'stable').ring, modules[0].version)`;
  const printed = execFileSync(
    process.execPath,
    ['--input-type=module', '-e', script, served.path],
    {
      cwd: installed,
      encoding: 'utf8',
    },
  );
  assert.equal(printed, 'stable 1.0.0\n');
});

test('what an application imports is one small file that needs nothing but a disk', () => {
  const file = join(installed, 'node_modules/ringlock/dist/index.js');
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(/\b(?:from|import\()\s*["']([^"']+)["']/g)].map(
    (match) => match[1],
  );
  assert.deepEqual([...new Set(imports)].sort(), [
    'node:crypto',
    'node:fs/promises',
    'node:module',
    'node:path',
    'node:timers/promises',
  ]);
  assert.ok(text.length < 250_000, `${file} has ${text.length} bytes`);
});

function run(cwd: string, ...args: string[]) {
  return spawnSync(join(installed, 'node_modules/.bin/ringlock'), args, {
    cwd,
    encoding: 'utf8',
    env: { ...gitEnvironment, NO_COLOR: '1' },
  });
}

function npm(cwd: string, ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
}
