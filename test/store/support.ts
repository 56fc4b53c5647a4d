import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { contentDigest } from '../../src/digest/content-digest.ts';
import type { Lock, LockEntry } from '../../src/repo/lock.ts';
import type { SourceFile } from '../../src/source/module-source.ts';
import { removeTree } from '../../src/store/module-tree.ts';
import { openRoot, type Root, type RootOptions } from '../../src/store/root.ts';
import type { VersionPin } from '../../src/store/version-store.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A module as a test makes it up: path → content; a path that ends in .sh is executable. */
export interface MadeModule {
  readonly pin: VersionPin;
  readonly entry: LockEntry;
  readonly files: Readonly<Record<string, string>>;
}

export function makeModule(
  alias: string,
  version: string,
  files: Readonly<Record<string, string>> = { 'module.json': `${alias} ${version}\n` },
  directory: string = `${alias[0]?.toUpperCase()}${alias.slice(1)}`,
): MadeModule {
  const sha256 = contentDigest(
    Object.entries(files).map(([path, content]) => ({
      path,
      sha256: createHash('sha256').update(content).digest('hex'),
    })),
  );
  const entry: LockEntry = {
    version,
    directory,
    source: null,
    tree: null,
    artifact: null,
    sha256,
    file_count: Object.keys(files).length,
    size_bytes: Object.values(files).join('').length,
    released_at: null,
  };
  return { pin: { alias, version, sha256 }, entry, files };
}

export async function* filesOf(module: Pick<MadeModule, 'files'>): AsyncGenerator<SourceFile> {
  for (const [path, content] of Object.entries(module.files)) {
    yield { path, executable: path.endsWith('.sh'), content: Buffer.from(content) };
  }
}

export function lockOf(...modules: readonly MadeModule[]): Lock {
  return {
    ring: 'canary',
    platform: '2.0.0',
    modules: new Map(modules.map(({ pin, entry }) => [pin.alias, entry])),
  };
}

export const facts = {
  commit: '1'.repeat(40),
  operationId: 'op',
  repository: 'https://git.example.com/platform.git',
  branch: 'main',
};

/** Stages what is missing, builds and switches: what a reconciler does, without its journal. */
export async function deploy(root: Root, ...modules: readonly MadeModule[]) {
  for (const module of modules) {
    if (!(await root.hasVersion(module.pin))) await root.stage(module.pin, filesOf(module), 'test');
  }
  const generation = await root.buildGeneration(lockOf(...modules), facts);
  await root.switchTo(generation);
  return generation;
}

export function rootDirectory(t: TestContext): string {
  const path = temporaryDirectory(t, 'root');
  t.after(() => removeTree(path));
  return path;
}

export async function openTestRoot(
  t: TestContext,
  options: Partial<RootOptions> = {},
): Promise<Root> {
  const root = await openRoot({ path: options.path ?? rootDirectory(t), ...options });
  t.after(() => root.close());
  return root;
}

/** The content digest by coreutils, as DESIGN section 3 gives it. */
export function digestByCoreutils(directory: string): string {
  const pipeline = `find -L . -type f | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum -- | sha256sum`;
  const output = execFileSync('sh', ['-c', pipeline], { cwd: directory, encoding: 'utf8' });
  return `sha256:${output.slice(0, 64)}`;
}
