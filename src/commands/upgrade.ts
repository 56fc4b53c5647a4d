import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { passOnRoot } from '../reconcile/apply-to-root.ts';
import { chooseForRoot } from '../reconcile/choose-for-root.ts';
import { exitCodeOf } from '../reconcile/run-reconciler.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BasePinCommand } from './base-pin.ts';

export class UpgradeCommand extends BasePinCommand {
  static override paths = [['upgrade']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Move a module of a ring, or a whole lock, to a newer version.',
    details: `
      Writes the lock of a pinned ring, as \`ringlock install\` does; a lower version is refused.

      \`--all\` takes every newer version of the ring that this one promotes from, all or nothing: the
      lock has to run as a whole. Held modules stay.

      With \`--root\` a module is upgraded there at once and held; \`--all --root\` makes the root equal
      to its committed lock, by one pass of the reconciler.
    `,
    examples: [
      ['One module', '$0 upgrade orders --to 1.0.1 --ring stable'],
      ['All that edge has', '$0 upgrade --all --ring stable --commit'],
      ['On a root, at once', '$0 upgrade orders --to 1.0.1 --root /srv/modules'],
    ],
  });

  module = Option.String({ name: 'module', required: false });
  to = Option.String('--to', { description: 'The version.' });
  all = Option.Boolean('--all', false, { description: 'The whole lock, all or nothing.' });

  async run(): Promise<number> {
    const { module, to } = this;
    if (this.all ? module !== undefined || to !== undefined : !(module && to)) {
      throw badInput('upgrade-not-given', 'what to upgrade to was not given', {
        hint: 'Give a module and --to VERSION, or --all alone.',
      });
    }
    if (this.root === undefined) {
      return this.changeLock({ command: 'upgrade', module, version: to, force: false });
    }
    const root = this.rootPath(this.root);
    if (module === undefined) return this.#wholeRoot(root);
    const asked = { command: 'upgrade', root, module, version: to, cwd: this.cwd } as const;
    const { alias, from, entry } = await chooseForRoot({ ...asked, openPackages });
    if (from === to) {
      this.answer({ alias, from, to, changed: false });
      this.say(`${this.root} serves ${alias} ${to} already; nothing changed`);
      return 0;
    }
    const reason = this.reason ?? 'upgraded';
    return this.changeRoot({ root, alias, entry, reason, withDown: false }, from);
  }

  async #wholeRoot(root: string): Promise<number> {
    const { flags, log } = await this.pass();
    const status = await this.progress('upgrading', () => passOnRoot(root, flags, log));
    const { state, generation, converged_commit: commit, modules, last_error: error } = status;
    this.answer({ state, generation, commit, modules, last_error: error });
    const reason = error === null ? '' : `: ${error.message}`;
    this.say(`${root} is ${state}, generation ${generation} serves${reason}`);
    return exitCodeOf('once', status);
  }
}
