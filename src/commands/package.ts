import { join, resolve } from 'node:path';
import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { packageModule } from '../release/package-module.ts';
import { writePackage } from '../release/write-package.ts';
import { BaseCommand } from './base.ts';

export class PackageCommand extends BaseCommand {
  static override paths = [['package']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Make a package of a module: a zip, its checksum and its manifest.',
    details: `
      Writes \`<Name>-<version>.zip\`, \`<Name>-<version>.zip.sha256\` (as sha256sum writes it) and
      \`MANIFEST.json\`. The files are those that the lock's digest covers, read from git, never from the
      work tree; the zip is the same, bit for bit, on every machine and at every time.

      \`alias@version\` finds what was released: in a lock on a deploy branch or by a tag
      \`<alias>@<version>\`; a version that was not is taken from the branch that has it.
      \`alias@revision\` takes the version at a branch, tag or commit, and \`alias\` alone the one at HEAD.
      Bytes that differ from those released under the same version are refused.
    `,
    examples: [
      ['The version at HEAD', 'ringlock package orders'],
      ['A released version, into a directory', 'ringlock package orders@1.4.1 --out build'],
      ['From a maintenance branch', 'ringlock package orders@origin/orders-1.4'],
    ],
  });

  module = Option.String({ name: 'alias[@version|@revision]' });
  out = Option.String('--out', '.', { description: 'The directory to write to (.).' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const made = await this.progress(`Packaging ${this.module}…`, () =>
      packageModule(repository, this.module),
    );
    const [file, ...others] = await writePackage(resolve(this.cwd, this.out), made);
    const shown = (path = '') => join(this.out, path.slice(resolve(this.cwd, this.out).length + 1));
    const { alias, name, version, commit, tree, sha256, contentDigest, files, zip } = made;
    this.answer({
      ...{ alias, name, version, commit, tree, sha256: contentDigest },
      artifact: { file, sha256, size_bytes: zip.length },
      files: files.length,
      written: [file, ...others],
    });
    this.say(`${alias} ${version} from ${commit.slice(0, 12)}, ${files.length} files`);
    this.say(`  ${shown(file)}  ${zip.length} bytes  ${sha256}`);
    for (const path of others) this.say(`  ${shown(path)}`);
    return 0;
  }
}
