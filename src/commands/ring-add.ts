import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { addRing } from '../git/add-ring.ts';
import { findRepository } from '../git/git-command.ts';
import { BaseCommand } from './base.ts';

export class RingAddCommand extends BaseCommand {
  static override paths = [['ring', 'add']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Make a ring: its file, its lock, its overlay.',
    details: `
      With \`--promotes-from\` the ring is pinned and begins with the lock of that ring, so that it serves
      at once; with \`--tracks modules\` its lock follows modules/. Where there are overlays, it gets one
      in overlays/rings/<name>, in a namespace that is named as those of the other rings.

      Everything is checked first: a name, namespace or hostname that somebody has is refused, and then
      nothing is written.
    `,
    examples: [
      ['Between edge and stable', 'ringlock ring add beta --promotes-from edge'],
      [
        'With names of its own',
        'ringlock ring add beta --promotes-from edge --hostname beta.example.com',
      ],
      ['One more that follows modules/', 'ringlock ring add nightly --tracks modules --no-overlay'],
    ],
  });

  ring = Option.String({ name: 'name' });
  promotesFrom = Option.String('--promotes-from', { description: 'The ring versions come from.' });
  tracks = Option.String('--tracks', {
    description: 'modules: the lock follows modules/.',
    validator: t.isEnum(['modules'] as const),
  });
  namespace = Option.String('--namespace', { description: 'Its Kubernetes namespace.' });
  hostnames = Option.Array('--hostname', [], {
    description: 'A hostname of the ring; repeatable.',
  });
  branch = Option.String('--branch', {
    description: 'The branch it deploys from (default: as the other rings).',
  });
  overlay = Option.Boolean('--overlay', true, {
    description: 'Make its overlay, where there are overlays (default).',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const { promotesFrom, namespace, hostnames, branch, overlay } = this;
    const added = await this.progress(`making ${this.ring}`, () =>
      addRing(repository, {
        ...{ name: this.ring, promotesFrom, tracksModules: this.tracks === 'modules' },
        ...{ namespace, hostnames, branch, overlay },
      }),
    );
    const { ring, files, modules, withoutOverlay, buildFrom, next } = added;
    this.answer({
      ...{ name: ring.name, tracking: promotesFrom === undefined, branch: ring.branch },
      ...{ promotes_from: promotesFrom ?? null, namespace: ring.namespace ?? null },
      ...{ hostnames, modules, files, next },
      ...{ without_overlay: withoutOverlay ?? null, build_from: buildFrom },
    });
    for (const file of files) this.say(`written  ${file}`);
    const from = promotesFrom === undefined ? 'modules/' : `the lock of ${promotesFrom}`;
    this.say(
      `${ring.name} begins with ${modules} ${modules === 1 ? 'module' : 'modules'}, from ${from}`,
    );
    if (withoutOverlay !== undefined) this.say(`no overlay was made: ${withoutOverlay}`);
    for (const step of next) this.say(`  → ${step}`);
    for (const path of buildFrom) this.say(`  → add ../rings/${ring.name} to ${path}`);
    return 0;
  }
}
