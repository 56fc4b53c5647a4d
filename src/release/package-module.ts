import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { byPathBytes, contentDigest } from '../digest/content-digest.ts';
import { refused } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { type ObjectBatch, withObjects } from '../git/object-batch.ts';
import type { ModuleManifest } from '../repo/module-manifest.ts';
import type { SourceFile } from '../source/module-source.ts';
import { readModuleManifest, readModuleTree } from '../source/module-tree.ts';
import type { PackagedModule } from '../source/registry/registry.ts';
import { type FoundVersion, findVersion } from './find-version.ts';
import { type PackagedFile, packageManifest } from './package-manifest.ts';
import { settingsAt } from './platform-at.ts';
import { writeZip } from './zip-writer.ts';

/** A package, and where its bytes come from. */
export interface ModulePackage extends PackagedModule {
  /** The commit that it was packaged from. */
  readonly commit: string;
  /** Git tree object id. */
  readonly tree: string;
  /** Of the files, as a lock has it: `sha256:<hex>`. */
  readonly contentDigest: string;
  readonly files: readonly PackagedFile[];
}

/**
 * Packages a module from git objects: the files that the content digest covers, and no others. The same
 * version gives the same bytes on every machine and at every time.
 *
 * @param wanted `orders`, `orders@1.4.1` or `orders@<revision>`; a directory's name goes for an alias
 * @throws RinglockError what findVersion() throws, `released-bytes-differ` when the version was released
 *   with other bytes, `refused-path`, `object-missing`, `package-too-large`
 */
export async function packageModule(
  repository: GitRepository,
  wanted: string,
): Promise<ModulePackage> {
  return withObjects(repository, async (objects) => {
    const found = await findVersion(repository, objects, wanted);
    const manifest = await readModuleManifest(objects, found.tree, found.path);
    requireSameModule(found, manifest);
    const contents = await readFiles(objects, found);
    const files = contents.map(describe);
    const digest = contentDigest(files);
    requireReleasedBytes(found, digest);
    const zip = writeZip(contents);
    const { alias, version, commit, tree } = found;
    const name = packageName(found);
    const sha256 = `sha256:${sha256Of(zip)}`;
    const archive = { file: `${name}-${version}.zip`, sha256, size_bytes: zip.length };
    const text = packageManifest({ name, manifest, commit, tree, digest, archive, files });
    return {
      ...{ alias, name, version, zip, sha256, manifest: text },
      ...{ commit, tree, contentDigest: digest, files },
    };
  });
}

/** A lock may name any tree. */
function requireSameModule({ alias, version, tree }: FoundVersion, manifest: ModuleManifest): void {
  if (manifest.alias === alias && manifest.version === version) return;
  throw refused(
    'manifest-mismatch',
    `${alias} ${version} was released as tree ${tree}, which holds ${manifest.alias} ${manifest.version}`,
    { hint: 'The lock that says so was edited by hand: ringlock verify names it.' },
  );
}

async function readFiles(objects: ObjectBatch, { commit, path, tree }: FoundVersion) {
  const { maxFiles } = await settingsAt(objects, commit);
  const files: SourceFile[] = [];
  for await (const file of await readModuleTree(objects, tree, path, maxFiles)) files.push(file);
  return files.sort(byPathBytes);
}

function describe({ path, executable, content }: SourceFile): PackagedFile {
  return {
    path,
    sha256: sha256Of(content),
    mode: executable ? '0755' : '0644',
    size_bytes: content.length,
  };
}

function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function requireReleasedBytes({ alias, version, released, path }: FoundVersion, digest: string) {
  if (released === undefined || released === digest) return;
  throw refused(
    'released-bytes-differ',
    `${path} has ${alias} ${version} with the digest ${digest}, it was released with ${released}`,
    {
      hint: `A version's bytes never change: ringlock bump ${alias}, or package what was released: ringlock package ${alias}@${version}`,
      details: { alias, version, found: digest, released },
    },
  );
}

/** The name of the package's files: that of the module's directory. */
function packageName({ alias, path }: FoundVersion): string {
  const name = basename(path);
  return /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) ? name : alias;
}
