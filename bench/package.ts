import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { defaultLimits } from '../src/repo/limits.ts';
import { readArchive } from '../src/source/archive/read-archive.ts';
import {
  type BenchRow,
  bytesRow,
  cliPath,
  medianMs,
  ringlock,
  run,
  timeRow,
} from './support/measure.ts';
import { makePlatformRepository, moduleName } from './support/platform-repository.ts';

/**
 * A package of one module against `zip -r` of its directory, in time and size; reading it, verified, and a whole
 * install of it on a root, from a directory of packages, against `unzip`. Reading and unzip write files that nobody
 * syncs; an install fsyncs each, beside two node starts' worth of plan, journal and audit.
 *
 * @param repository the large platform; one module of it is packaged as HEAD has it
 */
export async function benchPackage(repository: string): Promise<BenchRow[]> {
  if (spawnSync('zip', ['-v']).error !== undefined || spawnSync('unzip').error !== undefined) {
    process.stderr.write('  left out: zip and unzip are not installed\n');
    return [];
  }
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-package-'));
  try {
    const large = join(directory, 'large');
    await makePlatformRepository(large, { modules: 1, files: 4_000, commits: 1, bytes: 5_000 });
    return [
      ...(await measure(repository, moduleName(0), join(directory, 'a'), 'a module of 330 kB')),
      ...(await measure(large, moduleName(0), join(directory, 'b'), 'a module of 20 MB')),
    ];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  repository: string,
  name: string,
  directory: string,
  what: string,
): Promise<BenchRow[]> {
  mkdirSync(directory);
  const zip = join(directory, 'reference.zip');
  const modules = join(repository, 'modules');
  const wanted = ['package', `${name}@HEAD`, '--out', directory];
  const forget = () => rmSync(zip, { force: true });
  const made = await medianMs(5, () => ringlock(repository, ...wanted));
  const zipped = await medianMs(5, () => run(modules, 'zip', ['-qr', zip, name]), forget);
  const node = await medianMs(5, () => run(repository, process.execPath, ['-e', '0']));
  const own = findPackage(directory);
  const into = join(directory, 'out');
  const empty = () => {
    rmSync(into, { recursive: true, force: true });
    mkdirSync(into);
  };
  const read = await medianMs(5, () => extract(own, into), empty);
  const unzipped = await medianMs(5, () => run(directory, 'unzip', ['-q', own, '-d', into]), empty);
  return [
    timeRow(`package ${what}`, made, ['zip -r', zipped], '≤ 1.2'),
    timeRow('the same', made, ['zip -r and one node start', zipped + node], ''),
    bytesRow('its size', statSync(own).size, ['zip -r', statSync(zip).size], '≤ 1.2'),
    timeRow('reading it, verified, into files', read, ['unzip', unzipped], ''),
    timeRow(
      'installing it on a root',
      await installMs(name, directory, own),
      ['unzip', unzipped],
      '',
    ),
  ];
}

/** Of `ringlock install --root`, on a root that serves another module, by a clone that never saw the package. */
async function installMs(name: string, directory: string, zip: string): Promise<number> {
  const alias = name.toLowerCase();
  const version = /-(\d+\.\d+\.\d+)\.zip$/.exec(zip)?.[1] ?? '';
  const packages = join(directory, 'packages');
  const published = join(packages, alias, version);
  mkdirSync(published, { recursive: true });
  for (const file of [zip, `${zip}.sha256`]) copyFileSync(file, join(published, basename(file)));
  const customer = await makeCustomer(join(directory, 'customer'), packages);
  const [root, first] = [join(directory, 'root'), join(directory, 'root-before')];
  mkdirSync(first);
  ringlock(
    customer,
    'reconcile',
    '--once',
    '--repo',
    customer,
    '--root',
    first,
    '--ring',
    'stable',
  );
  const fresh = () => {
    rmSync(root, { recursive: true, force: true });
    run(directory, 'cp', ['-a', first, root]);
    rmSync(join(customer, '.git/ringlock'), { recursive: true, force: true });
  };
  const program = [process.execPath, cliPath, 'install', `${alias}@${version}`, '--root', root];
  const install = () =>
    run(customer, 'env', [`RINGLOCK_MODULE_PLACES=file://${packages}`, ...program]);
  return medianMs(3, install, fresh);
}

/** A platform with one small module that names the registry. */
async function makeCustomer(path: string, packages: string): Promise<string> {
  const files = {
    VERSION: '2.0.0\n',
    'manifests/stable.ring.yaml': 'tracks: modules\n',
    'manifests/ringlock.yaml': `registries:\n  - {kind: directory, url: '${packages}'}\n`,
    'modules/Base/module.json': '{"name": "Base", "alias": "base", "version": "1.0.0"}\n',
  };
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), text);
  }
  run(path, 'git', ['init', '-q', '-b', 'main']);
  run(path, 'git', ['add', '-A']);
  ringlock(path, 'lock');
  run(path, 'git', ['add', '-A']);
  run(path, 'git', ['commit', '-qm', 'Start']);
  return path;
}

function findPackage(directory: string): string {
  const { stdout } = spawnSync('find', [directory, '-name', '*-*.zip'], { encoding: 'utf8' });
  return stdout.trim();
}

async function extract(archive: string, into: string): Promise<void> {
  const options = { label: 'the package', limits: defaultLimits, maxFiles: 100_000 };
  const made = new Set<string>();
  for await (const { path, content } of readArchive(archive, options)) {
    const folder = dirname(join(into, path));
    if (!made.has(folder)) await mkdir(folder, { recursive: true });
    made.add(folder);
    await writeFile(join(into, path), content);
  }
}
