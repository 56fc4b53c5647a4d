import * as fs from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import git from 'isomorphic-git';
import { environmentFailed } from '../errors.ts';
import type { Limits } from '../repo/limits.ts';
import { ObjectLayers } from './object-layers.ts';

/** A repository on this machine's disk, read without git. */
export interface LocalRepository {
  /** Where refs and objects are (for a linked work tree, its main repository's). */
  readonly gitdir: string;
  readonly objects: ObjectLayers;
}

/**
 * @param path a bare repository, or a work tree (linked ones too)
 * @throws RinglockError `remote-unreachable`, `unsupported-object-format`, `unsupported-ref-format`
 */
export async function openLocalRepository(path: string, limits: Limits): Promise<LocalRepository> {
  const gitdir = await commonDirectory(await findGitDirectory(path));
  if (!(await exists(join(gitdir, 'objects')))) throw notARepository(path);
  await refuseOtherFormats(path, gitdir);
  const objects = await ObjectLayers.open([gitdir, ...(await alternates(gitdir))], limits);
  return { gitdir, objects };
}

async function findGitDirectory(path: string): Promise<string> {
  if (!(await exists(path))) {
    throw environmentFailed('remote-unreachable', `${path} does not exist, expected a repository`);
  }
  const dotGit = join(path, '.git');
  const file = await stat(dotGit).catch(() => undefined);
  if (file?.isDirectory()) return dotGit;
  if (file?.isFile()) {
    const target = /^gitdir: (.+?)\s*$/.exec(await readFile(dotGit, 'utf8'))?.[1];
    if (target !== undefined) return resolve(path, target);
  }
  if (await exists(join(path, 'HEAD'))) return path;
  throw notARepository(path);
}

function notARepository(path: string): Error {
  return environmentFailed('remote-unreachable', `${path} is no git repository`);
}

async function commonDirectory(gitdir: string): Promise<string> {
  const common = await readFile(join(gitdir, 'commondir'), 'utf8').catch(() => undefined);
  return common === undefined ? gitdir : resolve(gitdir, common.trim());
}

async function refuseOtherFormats(path: string, gitdir: string): Promise<void> {
  const read = async (name: string): Promise<string | undefined> => {
    const value: unknown = await git.getConfig({ fs, gitdir, path: `extensions.${name}` });
    return typeof value === 'string' ? value.toLowerCase() : undefined;
  };
  const objectFormat = await read('objectformat');
  if (objectFormat !== undefined && objectFormat !== 'sha1') {
    throw environmentFailed(
      'unsupported-object-format',
      `${path} uses ${objectFormat} object ids, expected sha1`,
    );
  }
  const refFormat = await read('refstorage');
  if (refFormat !== undefined && refFormat !== 'files') {
    throw environmentFailed(
      'unsupported-ref-format',
      `${path} stores its refs as ${refFormat}, expected files`,
      { hint: 'Convert it with: git refs migrate --ref-format=files' },
    );
  }
}

/** Git directories whose objects belong to a repository too (`clone --shared`, `--reference`). */
async function alternates(gitdir: string, seen = new Set<string>()): Promise<string[]> {
  const objects = join(gitdir, 'objects');
  const text = await readFile(join(objects, 'info/alternates'), 'utf8').catch(() => '');
  const found: string[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const other = dirname(resolve(objects, line));
    if (seen.has(other)) continue;
    seen.add(other);
    found.push(other, ...(await alternates(other, seen)));
  }
  return found;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
