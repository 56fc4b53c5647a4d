import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createRepository, gitEnvironment, openRepository, type Repository } from './repository.ts';
import { temporaryDirectory } from './temporary.ts';

/** A module of a test platform; files of its own may be added to the usual ones. */
export interface ModuleFixture {
  /** The directory below `modules/`. */
  readonly directory: string;
  readonly alias: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly platform?: string;
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export interface PlatformOptions {
  /** The chain of rings; the last one tracks `modules/`, each other promotes from the next. */
  readonly rings?: readonly string[];
  readonly modules?: readonly ModuleFixture[];
  /** Whether everything is committed (the default) or only written. */
  readonly commit?: boolean;
}

/** A small platform in a real repository. */
export interface Platform extends Repository {
  readonly rings: readonly string[];
  /** Rewrites `version` and whatever `more` names in a module's module.json; `directory` as `Orders`. */
  setVersion(directory: string, version: string, more?: object): void;
  /** Changes a module's source file so that its digest is another one; no bump. */
  change(directory: string, text?: string): void;
  /** A bare repository as `origin`, with the present branch pushed and followed. */
  addRemote(t: TestContext): string;
}

export const defaultModules: readonly ModuleFixture[] = [
  { directory: 'Products', alias: 'products', version: '1.0.0', platform: '^2.0.0' },
  {
    directory: 'Orders',
    alias: 'orders',
    version: '1.0.0',
    platform: '^2.0.0',
    dependencies: { products: '^1.0.0' },
  },
  {
    directory: 'Communications',
    alias: 'communications',
    version: '1.0.0',
    dependencies: { orders: '^1.0.0' },
  },
  { directory: 'MobileApp', alias: 'mobile-app', version: '0.3.0' },
];

/** A platform with `VERSION` 2.0.0, the modules, ring files and right locks; committed on `main`. */
export function createPlatform(t: TestContext, options: PlatformOptions = {}): Platform {
  const { rings = ['stable', 'edge', 'canary'], modules = defaultModules, commit = true } = options;
  if (commit) return asPlatform(copyOfCommitted(t, rings, modules), rings);
  const repository = createRepository(t);
  repository.write(platformFiles(rings, modules));
  return asPlatform(repository, rings);
}

/** The first of each kind is made with some thirty runs of git, the others are copies of it. */
function copyOfCommitted(
  t: TestContext,
  rings: readonly string[],
  modules: readonly ModuleFixture[],
): Repository {
  const kind = sha256(JSON.stringify([rings, modules]));
  const path = temporaryDirectory(t, 'repo');
  const made = committedPlatforms.get(kind);
  if (made !== undefined) {
    cpSync(made, path, { recursive: true });
    const copy = openRepository(path);
    copy.git('update-index', '-q', '--refresh');
    return copy;
  }
  const template = mkdtempSync(join(tmpdir(), 'ringlock-test-template-'));
  process.on('exit', () => rmSync(template, { recursive: true, force: true }));
  execFileSync('git', ['init', '-q', '-b', 'main', template], { env: gitEnvironment });
  const repository = openRepository(template);
  repository.write(platformFiles(rings, modules));
  repository.git('add', '-A');
  writeLocks(repository, rings);
  repository.commit('Start the platform');
  committedPlatforms.set(kind, template);
  return copyOfCommitted(t, rings, modules);
}

const committedPlatforms = new Map<string, string>();

/** The same view of a clone or a linked worktree of a platform. */
export function asPlatform(
  repository: Repository,
  rings: readonly string[] = ['stable', 'edge', 'canary'],
): Platform {
  return {
    ...repository,
    rings,
    setVersion: (directory, version, more) => {
      const file = `modules/${directory}/module.json`;
      const manifest = { ...JSON.parse(repository.read(file)), version, ...more };
      repository.write({ [file]: `${JSON.stringify(manifest, null, 2)}\n` });
    },
    change: (directory, text = `changed ${Math.random()}`) => {
      const file = `modules/${directory}/src/index.mjs`;
      repository.write({ [file]: `${repository.read(file)}// ${text}\n` });
    },
    addRemote: (context) => {
      const path = temporaryDirectory(context, 'remote.git');
      execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
      repository.git('remote', 'add', 'origin', path);
      repository.git('push', '-q', '--no-verify', '-u', 'origin', 'HEAD');
      return path;
    },
  };
}

/** A fresh clone, made as a colleague would: nothing of the original's configuration or hooks. */
export function cloneOf(t: TestContext, source: string): Repository {
  const path = temporaryDirectory(t, 'clone');
  execFileSync('git', ['clone', '-q', '--no-local', source, path], { env: gitEnvironment });
  return openRepository(path);
}

/** Every file of a platform but its locks. */
function platformFiles(
  rings: readonly string[],
  modules: readonly ModuleFixture[],
): Record<string, string | Uint8Array> {
  const files: Record<string, string | Uint8Array> = {
    VERSION: '2.0.0\n',
    'README.md': '# A platform\n',
    '.gitattributes':
      'manifests/*.lock.json merge=ringlock\nmanifests/*.ring.yaml merge=ringlock\nmanifests/tenants.yaml merge=ringlock\n',
    'manifests/tenants.yaml': `tenants:\n  acme:\n    ring: ${rings[0]}\n`,
  };
  for (const [index, ring] of rings.entries()) {
    const next = rings[index + 1];
    const lane = next === undefined ? 'tracks: modules' : `promotesFrom: ${next}`;
    files[`manifests/${ring}.ring.yaml`] =
      `# The ${ring} ring.\nnamespace: platform-${ring}\n${lane}\n`;
  }
  for (const module of modules) {
    for (const [name, content] of Object.entries(moduleFiles(module))) {
      files[`modules/${module.directory}/${name}`] = content;
    }
  }
  return files;
}

/** The files of one module, by their path inside it; its tests are not distributed. */
export function moduleFiles(module: ModuleFixture): Record<string, string | Uint8Array> {
  const { alias, directory, version, dependencies, platform } = module;
  const manifest = {
    name: directory,
    alias,
    version,
    repository: `https://gitlab.example.com/platform/modules/${alias}.git`,
    ...(platform && { compatibility: { platform } }),
    ...(dependencies && { dependencies }),
    distribution: { exclude: ['tests'] },
  };
  return {
    'module.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'CHANGELOG.md': `# ${directory}\n\n## ${version}\n\n- First.\n`,
    'src/index.mjs': `export const name = '${alias}';\n`,
    'tests/index.test.mjs': `// tests of ${alias}\n`,
    ...module.files,
  };
}

export interface LockedFixture {
  readonly directory?: string;
  readonly alias: string;
  readonly version: string;
  readonly sha256: string;
}

/**
 * What a ring that tracks `modules/` has to pin at a tree, computed here from git's own output and
 * sha256 alone, so that tests need not believe the code they test.
 *
 * @param treeish a commit, a tree, or nothing for the index
 */
export function modulesAt(repository: Repository, treeish?: string): LockedFixture[] {
  const tree = treeish ?? repository.git('write-tree');
  const modules = new Map<string, { path: string; oid: string }[]>();
  const listed = repository.git('ls-tree', '-r', '-z', '--full-tree', tree);
  for (const line of listed.split('\0').filter(Boolean)) {
    const [, oid = '', path = ''] = /^\d+ blob ([0-9a-f]+)\t(.*)$/s.exec(line) ?? [];
    const [, directory, rest] = /^modules\/([^/]+)\/(.+)$/s.exec(path) ?? [];
    if (directory === undefined || rest === undefined || rest.startsWith('tests/')) continue;
    const files = modules.get(directory) ?? [];
    files.push({ path: rest, oid });
    modules.set(directory, files);
  }
  const oids = [...modules.values()].flatMap((files) => files.map(({ oid }) => oid));
  const blobs = readBlobs(repository, oids);
  const blob = (oid: string) => blobs.get(oid) ?? Buffer.of();
  return [...modules].flatMap(([directory, files]) => {
    const manifest = files.find(({ path }) => path === 'module.json');
    if (manifest === undefined) return [];
    const { alias, version } = JSON.parse(blob(manifest.oid).toString());
    const lines = files
      .sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
      .map(({ path, oid }) => `${sha256(blob(oid))}  ${path}\n`);
    return [{ directory, alias, version, sha256: `sha256:${sha256(lines.join(''))}` }];
  });
}

/** The same of a committed lock. */
export function lockedAt(repository: Repository, treeish: string, ring: string): LockedFixture[] {
  const lock = JSON.parse(repository.git('show', `${treeish}:manifests/${ring}.lock.json`));
  return Object.entries<{ version: string; directory: string; sha256: string }>(lock.modules).map(
    ([alias, { version, directory, sha256: digest }]) => ({
      directory,
      alias,
      version,
      sha256: digest,
    }),
  );
}

/** Writes rings' locks for what is staged, in the byte form that `ringlock lock` writes. */
export function writeLocks(repository: Repository, rings: readonly string[]): void {
  const tree = repository.git('write-tree');
  const found = modulesAt(repository, tree).sort((a, b) => (a.alias < b.alias ? -1 : 1));
  const trees = modulesTrees(repository, tree);
  const modules = Object.fromEntries(
    found.map((module) => [module.alias, lockEntry(trees, module)]),
  );
  for (const ring of rings) {
    const lock = {
      $schema: './schema/lock.schema.json',
      lock_version: 1,
      ring,
      platform: repository.read('VERSION').trim(),
      modules,
    };
    repository.write({ [`manifests/${ring}.lock.json`]: `${JSON.stringify(lock, null, 2)}\n` });
  }
}

interface ModuleTree {
  readonly oid: string;
  /** Of the distributed files, in bytes. */
  readonly sizes: number[];
}

/** By directory below modules/; one git for all, since platforms are made by the hundred. */
function modulesTrees(repository: Repository, tree: string): Map<string, ModuleTree> {
  const trees = new Map<string, ModuleTree>();
  const listed = repository.git('ls-tree', '-r', '-t', '-l', '-z', '--full-tree', tree, 'modules/');
  for (const line of listed.split('\0').filter(Boolean)) {
    const [, type, oid = '', size, path = ''] =
      /^\d+ (tree|blob) ([0-9a-f]+) +(\d+|-)\t(.*)$/s.exec(line) ?? [];
    const [, directory = '', rest] = /^modules\/([^/]+)(?:\/(.+))?$/s.exec(path) ?? [];
    if (type === 'tree' && rest === undefined) trees.set(directory, { oid, sizes: [] });
    else if (type === 'blob' && rest !== undefined && !rest.startsWith('tests/')) {
      trees.get(directory)?.sizes.push(Number(size));
    }
  }
  return trees;
}

function lockEntry(trees: ReadonlyMap<string, ModuleTree>, module: LockedFixture): object {
  const { alias, version, directory = '', sha256: digest } = module;
  const { oid, sizes } = trees.get(directory) ?? { oid: '', sizes: [] };
  return {
    version,
    directory,
    source: `gitlab:platform/modules/${alias}`,
    tree: oid,
    artifact: null,
    sha256: digest,
    file_count: sizes.length,
    size_bytes: sizes.reduce((sum, size) => sum + size, 0),
    released_at: null,
  };
}

/** The contents of blobs by id: one `git cat-file --batch` for all. */
function readBlobs(repository: Repository, oids: readonly string[]): Map<string, Buffer> {
  const { stdout } = spawnSync('git', ['cat-file', '--batch'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: oids.map((oid) => `${oid}\n`).join(''),
    maxBuffer: 1 << 28,
  });
  const blobs = new Map<string, Buffer>();
  for (let at = 0; at < stdout.length; ) {
    const end = stdout.indexOf(10, at);
    const [oid = '', , size = '0'] = stdout.toString('latin1', at, end).split(' ');
    blobs.set(oid, stdout.subarray(end + 1, end + 1 + Number(size)));
    at = end + 1 + Number(size) + 1;
  }
  return blobs;
}

function sha256(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}
