import { Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { type PinRequest, planPins } from '../git/pin-modules.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { writePins } from '../git/write-pins.ts';
import { pinMessage } from '../repo/pin-message.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BaseRootCommand } from './base-root.ts';

/** What install, upgrade and rollback share: a ring's lock in the work tree, or a root. */
export abstract class BasePinCommand extends BaseRootCommand {
  ring = Option.String('--ring', { description: 'The ring (default: the default one).' });
  reason = Option.String('--reason', { description: 'Why, for whoever finds it.' });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit the files that are written, and nothing else.',
  });

  /** Decides, writes, and says the next step. */
  protected async changeLock(
    request: Pick<PinRequest, 'command' | 'module' | 'version' | 'force'>,
  ): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const { ring, reason = 'rolled back' } = this;
    const plan = await this.progress('reading versions', () =>
      planPins(repository, snapshot, {
        ...request,
        ...{ ring, reason, now: new Date(), openPackages },
      }),
    );
    if (plan.changes.length === 0) {
      this.answer({ ring: plan.ring, changed: false, changes: [], files: [], tags: [], next: [] });
      this.say(
        `${plan.ring} has ${request.module ?? 'all of it'} like that already; nothing changed`,
      );
      return 0;
    }
    const message = pinMessage(request.command, plan.ring, plan.changes, this.reason);
    const done = await writePins(repository, plan, message, { commit: this.commit });
    const files = [...plan.files.keys()];
    this.answer({
      ...{ ring: plan.ring, changed: true, changes: plan.changes, held: plan.held, files },
      ...{ tags: [...plan.tags.keys()], commit: done.commit ?? null, next: done.next },
    });
    for (const { alias, before, after } of plan.changes) {
      this.say(
        `${files[0]}: ${alias} ${after.version} (${before ? `was ${before.version}` : 'new there'})`,
      );
    }
    if (plan.held) this.say(`${files[1]} holds it there until ringlock unhold`);
    for (const [name, commit] of plan.tags) {
      this.say(`tagged ${name} at ${commit.slice(0, 12)}: no deploy branch has it`);
    }
    if (done.commit !== undefined) this.say(`committed as ${done.commit.slice(0, 12)}`);
    for (const step of done.next) this.say(`  → ${step}`);
    return 0;
  }
}
