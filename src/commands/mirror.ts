import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { findRepository } from '../git/git-command.ts';
import { type MirrorResult, mirrorModules } from '../release/mirror.ts';
import { BaseCommand } from './base.ts';

export class MirrorCommand extends BaseCommand {
  static override paths = [['mirror']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: "Push each module's split to its mirror, and tag new versions there.",
    details: `
      A module's mirror is what its module.json names as repository, or what manifests/ringlock.yaml
      says for its alias below mirrors. The branch has the name of the one that is checked out (in a
      pipeline, of CI_COMMIT_BRANCH or GITHUB_REF_NAME); v<version> is made when the mirror has no such
      tag. A tag that exists never moves. Only where the mirror's history diverged is the branch forced,
      and that is said.

      Before every push it is proven that nothing is pushed but the module's own commits and files. The
      token is read from MIRROR_PUSH_TOKEN or the file that MIRROR_PUSH_TOKEN_FILE names; without one,
      git's own credentials count.

      Exit 3 when a mirror could not be reached, 1 when a push was refused; the others are pushed all
      the same.
    `,
    examples: [
      ['What would be pushed', 'ringlock mirror --all --dry-run'],
      ['In the pipeline of the deploy branch', 'ringlock mirror --changed'],
      ['One module', 'ringlock mirror orders'],
    ],
  });

  aliases = Option.Rest({ name: 'alias' });
  all = Option.Boolean('--all', false, { description: 'Every module.' });
  changed = Option.Boolean('--changed', false, {
    description: 'Modules whose split is another one than at --since.',
  });
  since = Option.String('--since', {
    description: 'With --changed; CI_COMMIT_BEFORE_SHA, else the commit before.',
  });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Look and prove, push nothing.' });
  branch = Option.String('--branch', { description: "The mirrors' branch." });
  parallel = Option.String('--parallel', '8', {
    validator: t.cascade(t.isNumber(), [t.isInteger(), t.isInInclusiveRange(1, 64)]),
    description: 'Mirrors at once; 8 by default.',
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const results = await this.progress('Mirroring…', () => mirrorModules(repository, this));
    this.answer({ dryRun: this.dryRun, modules: results.map(described) });
    for (const result of results) this.sayResult(result);
    if (results.length === 0) this.say('no module has changed; nothing to do');
    else if (results.every(({ state }) => state === 'up-to-date')) {
      this.say('every mirror has everything; nothing was pushed');
    }
    if (results.some(({ state }) => state === 'failed')) return 3;
    const refusals = results.filter(({ state }) => state === 'refused');
    return refusals.length === 0
      ? 0
      : Math.max(1, ...refusals.map(({ error }) => error?.exitCode ?? 1));
  }

  private sayResult(result: MirrorResult): void {
    const { alias, version, mirror, state, error } = result;
    if (state === 'no-mirror') {
      this.say(`${alias} ${version}  has no mirror: module.json names no repository`);
      return;
    }
    if (error !== undefined) {
      this.say(`${alias} ${version}  ${state}: ${error.message}`);
      if (error.hint !== undefined) this.say(`  → ${error.hint}`);
      return;
    }
    this.say(`${alias} ${version}  ${whatHappened(result)}  ${mirror}`);
  }
}

function whatHappened({ state, branch, how, tags, commit, former }: MirrorResult): string {
  if (state === 'up-to-date') return 'up to date';
  const verb = state === 'would-push' ? 'would push' : 'pushed';
  const short = (oid: string | undefined): string => oid?.slice(0, 12) ?? '';
  const places = {
    new: `${branch} ${short(commit)} (new)`,
    forward: `${branch} ${short(former)}..${short(commit)}`,
    forced: `${branch} ${short(commit)} by force, since the mirror diverged at ${former}`,
    kept: '',
  };
  const parts = [how === undefined ? '' : places[how], ...tags.map((tag) => `tag ${tag}`)];
  return `${verb} ${parts.filter(Boolean).join(', ')}`;
}

function described({ error, ...result }: MirrorResult): object {
  return {
    ...result,
    mirror: result.mirror ?? null,
    ...(error && { error: { code: error.code, message: error.message, hint: error.hint } }),
  };
}
