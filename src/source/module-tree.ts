import { distributedFiles, moduleManifestFile } from '../digest/module-files.ts';
import { isLfsPointer } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import { listFilesBelow } from '../git/module-walk.ts';
import type { ObjectReader, TreeEntry } from '../git/object-store.ts';
import { committedText } from '../repo/committed-text.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import { defaultSettings } from '../repo/settings.ts';
import type { SourceFile, WantedModule } from './module-source.ts';

/**
 * The files that a module's git tree distributes, read one at a time.
 *
 * @param label what messages call the module, e.g. `modules/Orders`
 * @throws RinglockError `refused-path`, `not-a-module`, `invalid-json`, `invalid-file`, `object-missing`
 */
export async function readModuleTree(
  reader: Pick<ObjectReader, 'readTree' | 'readBlob'>,
  tree: string,
  label: string,
  maxFiles = defaultSettings.maxFiles,
): Promise<AsyncIterable<SourceFile>> {
  const manifest = await readModuleManifest(reader, tree, label);
  const files = distributedFiles(
    manifest,
    await listFilesBelow(reader, tree, label),
    label,
    maxFiles,
  );
  return readFiles(reader, files, label);
}

/**
 * The manifest that a module's git tree has.
 *
 * @throws RinglockError `not-a-module`, `invalid-json`, `invalid-file`, `object-missing`
 */
export async function readModuleManifest(
  reader: Pick<ObjectReader, 'readTree' | 'readBlob'>,
  tree: string,
  label: string,
): Promise<ModuleManifest> {
  const entries = await reader.readTree(tree);
  const entry = entries.find(({ path }) => path === moduleManifestFile);
  if (entry === undefined || !entry.mode.startsWith('100')) {
    throw refused('not-a-module', `${label} has no file ${moduleManifestFile} (git tree ${tree})`);
  }
  const content = await reader.readBlob(entry.oid);
  const file = `${label}/${moduleManifestFile}`;
  return parseModuleManifest(committedText(content, file), file);
}

/** What messages call a wanted module: its directory from the repository's top, or its alias. */
export function moduleLabel({ alias, entry: { directory } }: WantedModule): string {
  if (directory === null) return alias;
  return directory.includes('/') ? directory : `modules/${directory}`;
}

async function* readFiles(
  reader: Pick<ObjectReader, 'readTree' | 'readBlob'>,
  files: readonly TreeEntry[],
  label: string,
): AsyncGenerator<SourceFile> {
  for (const { path, mode, oid } of files) {
    const content = await reader.readBlob(oid);
    if (isLfsPointer(content)) {
      throw refused('refused-path', `${label}/${path} is a git-LFS pointer`, {
        hint: 'Commit the file itself, or leave it out with distribution.exclude in module.json.',
      });
    }
    yield { path, executable: mode === '100755', content };
  }
}
