import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { defaultLimits } from '../src/repo/limits.ts';
import { readArchive } from '../src/source/archive/read-archive.ts';
import { type BenchRow, bytesRow, medianMs, ringlock, run, timeRow } from './support/measure.ts';
import { makePlatformRepository, moduleName } from './support/platform-repository.ts';

/**
 * A package of one module against `zip -r` of its directory, in time and size, and reading it, verified,
 * against `unzip`. Both write files that nobody syncs.
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
      ...(await measure(repository, moduleName(7), join(directory, 'a'), 'a module of 330 kB')),
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
  ];
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
