import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory } from './support/temporary.ts';

const root = join(import.meta.dirname, '..');

/** A violation of each rule of .dependency-cruiser.cjs: the file that breaks it first, and what it says. */
const violations: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'pure-rooms-stay-pure': {
    'src/repo/planted.ts': "import { readFileSync } from 'node:fs';\nreadFileSync('VERSION');\n",
  },
  'pure-rooms-import-only-pure-rooms': {
    'src/plan/planted.ts': "import '../audit/planted-target.ts';\n",
    'src/audit/planted-target.ts': 'export const planted = 1;\n',
  },
  'pure-rooms-use-pure-packages': {
    'src/digest/planted.ts': "import pg from 'pg';\nnew pg.Client();\n",
  },
  'nobody-imports-commands': {
    'src/store/planted.ts': "import '../commands/base.ts';\n",
  },
  'commands-import-no-command': {
    'src/commands/planted.ts': "import './planted-target.ts';\n",
    'src/commands/planted-target.ts': 'export const planted = 1;\n',
  },
  'data-flows-one-way': {
    'src/source/planted.ts': "import '../reconcile/planted-target.ts';\n",
    'src/reconcile/planted-target.ts': 'export const planted = 1;\n',
  },
  'telling-asks-nothing-of-the-loop': {
    'src/outward/planted.ts': "import '../reconcile/planted-target.ts';\n",
    'src/reconcile/planted-target.ts': 'export const planted = 1;\n',
  },
  'applications-load-little': {
    'src/loader/planted.ts': "import '../git/planted.ts';\n",
    'src/git/planted.ts': 'export const planted = 1;\n',
  },
  'no-cycles': {
    'src/store/planted-a.ts': "import './planted-b.ts';\nexport const planted = 1;\n",
    'src/store/planted-b.ts': "import './planted-a.ts';\nexport const planted = 1;\n",
  },
};

test('a violation is planted for every rule there is', async () => {
  const { default: config } = await import('../.dependency-cruiser.cjs' as string);
  const names = config.forbidden.map(({ name }: { name: string }) => name);
  assert.deepEqual(Object.keys(violations), names);
});

test('the check names each planted violation by its rule, and nothing else in the sources', (t) => {
  const { status, output } = checkImports(
    copyWith(t, Object.assign({}, ...Object.values(violations))),
  );
  assert.notEqual(status, 0, output);
  const told = [...output.matchAll(/error ([a-z-]+): (\S+)/g)].map(([, rule, file]) => [
    file,
    rule,
  ]);
  const planted = Object.entries(violations).map(([rule, files]) => [Object.keys(files)[0], rule]);
  assert.deepEqual(told.sort(), planted.sort(), output);
});

/** The sources and what the check needs, with files added. */
function copyWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const copy = temporaryDirectory(t, 'rules');
  for (const name of ['src', 'manifests/schema', '.dependency-cruiser.cjs', 'tsconfig.json']) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(copy, name)), { recursive: true });
    writeFileSync(join(copy, name), content);
  }
  return copy;
}

function checkImports(cwd: string): { status: number | null; output: string } {
  const binary = join(root, 'node_modules/.bin/depcruise');
  const args = ['src', '--config', '.dependency-cruiser.cjs', '--output-type', 'err'];
  const { status, stdout, stderr } = spawnSync(binary, args, { cwd, encoding: 'utf8' });
  return { status, output: stdout + stderr };
}
