import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { chooseForRoot } from '../reconcile/choose-for-root.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BasePinCommand } from './base-pin.ts';

export class InstallCommand extends BasePinCommand {
  static override paths = [['install']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Pin a version of a module in a ring, or serve it on a root at once.',
    details: `
      Finds the version in a lock's history, a tag or any branch, else in a registry of
      manifests/ringlock.yaml, verifies its bytes and what it needs,
      and writes the lock of a pinned ring; \`--commit\` commits it. Refused when another version is
      there: that is for \`ringlock upgrade\` or \`ringlock rollback\`. \`--force\` does it again for the
      same version.

      With \`--root\` it goes through the reconciler's own plan, journal, migrations and audit, and the
      module is held at that version on the root until \`ringlock unhold --local\`; no lock changes.
    `,
    examples: [
      ['Pin a hotfix', '$0 install orders@1.4.1 --ring stable --commit'],
      ['On a root, at once', '$0 install orders@1.0.0 --root /srv/modules'],
    ],
  });

  module = Option.String({ name: 'alias@version' });
  force = Option.Boolean('--force', false, { description: 'Again, though it is there already.' });

  async run(): Promise<number> {
    const [, name = '', version = ''] = /^([^@]+)@([^@]+)$/.exec(this.module) ?? [];
    if (version === '') {
      throw badInput('invalid-version', `${this.module} names no version, expected alias@version`, {
        hint: 'For example: ringlock install orders@1.0.0. Versions there are: ringlock list --remote.',
      });
    }
    const { force } = this;
    if (this.root === undefined) {
      return this.changeLock({ command: 'install', module: name, version, force });
    }
    const root = this.rootPath(this.root);
    const asked = { command: 'install', root, module: name, version, cwd: this.cwd } as const;
    const { alias, from, entry } = await chooseForRoot({ ...asked, openPackages });
    if (from === version && !force) {
      this.answer({ alias, from, to: version, changed: false });
      this.say(`${this.root} serves ${alias} ${version} already; nothing changed`);
      return 0;
    }
    const reason = this.reason ?? 'installed';
    return this.changeRoot({ root, alias, entry, reason, withDown: false }, from);
  }
}
