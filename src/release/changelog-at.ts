import { type GitRepository, tryGit } from '../git/git-command.ts';
import { changelogSection } from '../repo/changelog.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import type { ModulePackage } from './package-module.ts';

/** What the files of a package say of it. */
export interface PackagedTexts {
  readonly manifest: ModuleManifest;
  /** The changelog's text for the version; undefined when it has none. */
  readonly section: string | undefined;
}

/** Reads module.json and the changelog of a package's git tree, whatever the work tree has. */
export async function packagedTexts(
  repository: GitRepository,
  { tree, version, alias }: Pick<ModulePackage, 'tree' | 'version' | 'alias'>,
): Promise<PackagedTexts> {
  const read = async (path: string) => {
    const asked = ['cat-file', 'blob', `${tree}:${path}`];
    const { status, stdout } = await tryGit(repository.topLevel, asked);
    return status === 0 ? stdout.toString() : undefined;
  };
  const text = (await read('module.json')) ?? '';
  const manifest = parseModuleManifest(text, `${alias} ${version}: module.json`);
  const changelog = await read(manifest.changelog);
  const section = changelog === undefined ? undefined : changelogSection(changelog, version);
  return { manifest, section };
}
