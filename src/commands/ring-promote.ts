import { Command, Option } from 'clipanion';
import { registerEnvironment } from '../environment.ts';
import { badInput } from '../errors.ts';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { type WrittenPins, writePins } from '../git/write-pins.ts';
import { openGateSources } from '../promotion/gate-sources.ts';
import type { GateSources } from '../promotion/judge-pins.ts';
import { type ProposedPromotion, proposePromotion } from '../promotion/promote-modules.ts';
import { runTrain, type TrainPromotion, type TrainReport } from '../promotion/promotion-train.ts';
import { gateLines } from '../repo/pin-judgement.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BaseCommand } from './base.ts';

export class RingPromoteCommand extends BaseCommand {
  static override paths = [['ring', 'promote']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Copy pins from a ring to the ring that promotes from it, through its gates.',
    details: `
      Computes the digest of each pinned git tree again before it copies the lock entry; every other
      byte of the target's lock stays. Several modules are one change: what they need of each other,
      they have. \`orders@1.0.1\` is a version that the source had before.

      Refused: a platform or dependency that the target lacks, a dependent there that would break, a
      target that does not promote from the source, a held module, a version that moves backwards
      (without \`--allow-downgrade\`), and closed gates of the target's ring file: soak and health in
      the source, approvals, freezes, checks. Each gate is named with what is missing, and when it
      opens. What the ring had before is let back at any time.

      Promoting what the target pins already changes nothing and says so.

      \`--auto\` is for a scheduler: along every chain of rings (or the one that \`--from\` and
      \`--to\` name) it promotes what has passed its gates, on the deploy branches as their remote has
      them, one commit for each module or for those that can only run together. A version that failed,
      or that a ring had and went back from, waits for a person. It only says so without \`--push\`;
      with it, a push that others were faster than is decided again. Nothing to do ends with 0, a gate
      that cannot be judged with 3.

      Environment: DATABASE_URL (the audit, for soak and health), RINGLOCK_ALLOWED_SIGNERS_FILE,
      RINGLOCK_GPG_KEYS and RINGLOCK_REVOKED_KEYS_FILE (keys of approvers), RINGLOCK_CA_FILE,
      HTTPS_PROXY, HTTP_PROXY, NO_PROXY (for checks).
    `,
    examples: [
      ['After a day in canary', '$0 ring promote orders --from canary --to edge --commit'],
      [
        'What needs each other, together',
        '$0 ring promote orders --with-dependencies --from canary --to edge',
      ],
      ['Every quarter of an hour, in a pipeline', '$0 ring promote --auto --push'],
      ['Only see whether all would go', '$0 ring promote --all --from canary --to edge --dry-run'],
      [
        'A fix that cannot wait',
        '$0 ring promote orders --from canary --to edge --override "fixes the outage" --commit',
      ],
    ],
  });

  modules = Option.Rest({ name: 'alias[@version]' });
  from = Option.String('--from', { description: 'The ring that has it.' });
  to = Option.String('--to', { description: 'The ring that gets it.' });
  all = Option.Boolean('--all', false, { description: 'Every module whose pin differs.' });
  withDependencies = Option.Boolean('--with-dependencies', false, {
    description: 'Also what the target lacks of their dependencies, or has too old.',
  });
  platform = Option.Boolean('--platform', false, {
    description: "Also make the target's platform the source's.",
  });
  allowDowngrade = Option.Boolean('--allow-downgrade', false, {
    description: 'Let versions move backwards.',
  });
  reason = Option.String('--reason', { description: 'Why, for the commit message.' });
  override = Option.String('--override', {
    description: 'Go over closed gates, with this reason, where the ring allows it.',
  });
  commit = Option.Boolean('--commit', false, {
    description: 'Commit the lock, and nothing else.',
  });
  auto = Option.Boolean('--auto', false, {
    description: 'Promote whatever has passed its gates, on the deploy branches.',
  });
  push = Option.Boolean('--push', false, { description: 'With --auto: commit and push it.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Decide, and write nothing.' });
  databaseUrl = Option.String('--database-url', { description: 'The audit database.' });
  allowedSigners = Option.String('--allowed-signers', {
    description: 'SSH keys of approvers, as ssh-keygen has them.',
  });
  gpgKeys = Option.String('--gpg-keys', { description: 'OpenPGP keys of approvers.' });
  revokedKeys = Option.String('--revoked-keys', { description: 'Keys that count no more.' });

  async run(): Promise<number> {
    await registerEnvironment(process.env);
    if (this.auto) return this.#runTrain();
    const { from, to } = this.#rings();
    const repository = await findRepository(this.cwd);
    const sources = await this.#sources(repository);
    const { withDependencies, allowDowngrade, reason, override } = this;
    const proposal = await this.progress('deciding', () =>
      proposePromotion(
        repository,
        {
          ...{ from, to, withDependencies, allowDowngrade, reason, override },
          modules: this.all ? undefined : this.modules,
          movePlatform: this.platform,
        },
        sources,
        openPackages,
      ),
    );
    const isChange = proposal.changes.length > 0 || proposal.platform !== undefined;
    const written = isChange && !this.dryRun ? await this.#write(repository, proposal) : undefined;
    this.#report(proposal, { from, to, isChange, written });
    return 0;
  }

  #sources(repository: GitRepository): Promise<GateSources> {
    return openGateSources(this, repository, {
      ...{ workingDirectory: this.cwd, environment: process.env, now: new Date() },
    });
  }

  async #runTrain(): Promise<number> {
    this.#refuseWithAuto();
    const repository = await findRepository(this.cwd);
    const sources = await this.#sources(repository);
    const report = await this.progress('deciding', () =>
      runTrain(repository, {
        ...{ from: this.from, to: this.to, push: this.push && !this.dryRun, openPackages },
        sources: () => ({ ...sources, now: new Date() }),
      }),
    );
    this.answer(trainAnswer(report));
    for (const promotion of report.promoted) this.#sayPromoted(promotion);
    for (const { from, to, waiting, barred } of report.stops) {
      for (const line of gateLines(waiting)) this.say(`${from} → ${to}: ${line}`);
      for (const { alias, version, reason } of barred) {
        this.say(`${from} → ${to}: ${alias} ${version} does not go: ${reason}`);
      }
    }
    if (report.promoted.length === 0) this.say('nothing to promote');
    else if (!report.pushed) this.say('Nothing was committed. Next: the same with --push');
    const gates = report.stops.flatMap(({ waiting }) => waiting.flatMap((one) => one.gates));
    return gates.some(({ state }) => state === 'unjudged') ? 3 : 0;
  }

  #sayPromoted({ from, to, branch, commit, promotion }: TrainPromotion): void {
    const moved = promotion.changes.map(
      ({ alias, before, after }) =>
        `${alias} ${after.version} (${before === undefined ? 'new there' : `was ${before.version}`})`,
    );
    const where = commit === undefined ? 'would go' : `${commit.slice(0, 12)} on ${branch}`;
    this.say(`${from} → ${to}: ${moved.join(', ')}: ${where}`);
  }

  #refuseWithAuto(): void {
    const { modules, all, platform, override, commit, withDependencies, allowDowngrade } = this;
    const given = Object.entries({
      ...{ '--all': all, '--platform': platform, '--commit': commit },
      ...{ '--with-dependencies': withDependencies, '--allow-downgrade': allowDowngrade },
      ...{ '--override': override !== undefined, '--reason': this.reason !== undefined },
      [modules.join(' ')]: modules.length > 0,
    }).flatMap(([name, isGiven]) => (isGiven ? [name] : []));
    if (given.length === 0) return;
    throw badInput('not-with-auto', `${given.join(', ')} is given with --auto`, {
      hint: 'What goes by itself is what the gates let through: promote the rest by name.',
    });
  }

  #rings(): { from: string; to: string } {
    const { from, to, modules, all, platform, override, commit, dryRun, push } = this;
    if (from === undefined || to === undefined) {
      throw badInput('rings-not-given', 'which rings are meant was not given', {
        hint: 'Give --from RING and --to RING.',
      });
    }
    if (all && modules.length > 0) {
      throw badInput('all-and-named', '--all and modules are given, expected one of them');
    }
    if (!all && modules.length === 0 && !platform) {
      throw badInput('modules-not-given', 'no module is given', {
        hint: 'Name modules, or give --all or --platform.',
      });
    }
    if (push) {
      throw badInput('push-without-auto', '--push is given without --auto', {
        hint: 'Give --commit, then git push.',
      });
    }
    if (override !== undefined && !commit && !dryRun) {
      throw badInput('override-without-commit', '--override is given without --commit', {
        hint: 'The reason belongs into the commit that goes over the gates: give --commit too.',
      });
    }
    return { from, to };
  }

  #write(repository: GitRepository, proposal: ProposedPromotion): Promise<WrittenPins> {
    const { ring, changes, file, text, message } = proposal;
    const files = new Map([[file, text]]);
    const plan = { ring: ring.name, changes, files, tags: new Map<string, string>(), held: false };
    return writePins(repository, plan, message, { commit: this.commit });
  }

  #report(
    proposal: ProposedPromotion,
    done: {
      readonly from: string;
      readonly to: string;
      readonly isChange: boolean;
      readonly written: WrittenPins | undefined;
    },
  ): void {
    const { changes, skipped, platform, file, judgements, overridden, migrations } = proposal;
    const { from, to, isChange, written } = done;
    const [only] = this.modules.length === 1 ? changes : [];
    this.answer({
      // Of one module that was named, as this was before there could be several.
      ...(only !== undefined && {
        alias: only.alias,
        before: only.before ?? null,
        after: only.after,
      }),
      ...{ from, to, changed: isChange, written: written !== undefined, file },
      changes: changes.map((change) => ({
        ...{ ...change, before: change.before ?? null },
        migrations: migrations.get(change.alias) ?? [],
      })),
      platform: platform ?? null,
      ...{ skipped, gates: judgements, overridden: overridden.map(({ alias }) => alias) },
      message: isChange ? proposal.message : null,
      ...{ commit: written?.commit ?? null, next: isChange ? this.#next(proposal, written) : null },
    });
    for (const { alias, reason } of skipped) this.say(`${alias} stays: ${reason}`);
    if (!isChange) {
      this.#sayUnchanged(to, proposal);
      return;
    }
    const notWritten = written === undefined ? ', not written' : '';
    for (const { alias, before, after } of changes) {
      const was = before === undefined ? 'new there' : `was ${before.version}`;
      this.say(`${file}: ${alias} ${after.version} (${was})${notWritten}`);
      for (const name of migrations.get(alias) ?? []) this.say(`  migration ${name}`);
    }
    if (platform !== undefined) {
      this.say(`${file}: platform ${platform.to} (was ${platform.from})${notWritten}`);
    }
    const gated = judgements.filter(({ gates, is_return }) => gates.length > 0 || is_return);
    for (const line of gateLines(gated)) this.say(`  ${line}`);
    if (overridden.length > 0) this.say(`closed gates are gone over: ${this.override}`);
    if (written?.commit !== undefined) this.say(`committed as ${written.commit.slice(0, 12)}`);
    if (written !== undefined) this.say(`Next: ${this.#next(proposal, written)}`);
  }

  #next({ message, file }: ProposedPromotion, written: WrittenPins | undefined): string {
    if (written?.commit !== undefined) return 'git push';
    return `git commit -m ${JSON.stringify(message.split('\n', 1)[0])} -- ${file}`;
  }

  #sayUnchanged(to: string, { unchanged }: ProposedPromotion): void {
    const names = unchanged.map(({ alias, version }) => `${alias} ${version}`).join(', ');
    this.say(`${to} has ${names || 'all of it'} already; nothing changed`);
  }
}

function trainAnswer({ promoted, stops, pushed, attempts }: TrainReport) {
  return {
    pushed,
    attempts,
    promoted: promoted.map(({ from, to, branch, commit, promotion, judgements, message }) => ({
      ...{ from, to, branch, commit: commit ?? null },
      changes: promotion.changes.map((change) => ({ ...change, before: change.before ?? null })),
      ...{ gates: judgements, message },
    })),
    waiting: stops.flatMap(({ from, to, waiting }) =>
      waiting.map((judgement) => ({ from, to, ...judgement })),
    ),
    stopped: stops.flatMap(({ from, to, barred }) => barred.map((one) => ({ from, to, ...one }))),
  };
}
