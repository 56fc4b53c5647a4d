import { Command, Option } from 'clipanion';
import { badInput, type RinglockError } from '../errors.ts';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { indexTree, workTree } from '../git/tree-snapshot.ts';
import { planLocks, type RingLock, writeLocks } from '../git/write-locks.ts';
import { describeLockChanges } from '../repo/lock-writing.ts';
import { BaseCommand } from './base.ts';

export class LockCommand extends BaseCommand {
  static override paths = [['lock']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Write the locks of the rings that track modules/, or check them.',
    details: `
      Reads the work tree as git would commit it, or with --staged what is staged, and writes
      manifests/<ring>.lock.json. Without --ring: every tracking ring. A pinned ring's lock moves by
      promotion; --force pins what is in modules/ all the same.

      A lock with merge conflict markers is resolved: a tracking ring's from modules/, a pinned
      ring's entry by entry, taking the greater version where it descends from the other.

      --artifacts only adds where packages are: it asks the registries for every entry without an
      artifact, and writes artifact and released_at (\`ringlock release\` does so by itself). One that
      cannot be completed is named, and keeps none from the others.

      --check writes nothing, and exits 1 where a lock is not what this command would write.
    `,
    examples: [
      ['Lock what is in modules/', 'ringlock lock'],
      ['Check in a pipeline', 'ringlock lock --check'],
      ['After CI released what the locks pin', 'ringlock lock --artifacts'],
      ['Only one module', 'ringlock lock --module orders'],
    ],
  });

  check = Option.Boolean('--check', false, {
    description: 'Write nothing; exit 1 on a difference.',
  });
  module = Option.String('--module', { description: 'Only this module: alias or directory.' });
  ring = Option.String('--ring', { description: 'Only this ring.' });
  staged = Option.Boolean('--staged', false, {
    description: 'Read the index instead of the work tree, and stage the locks.',
  });
  artifacts = Option.Boolean('--artifacts', false, {
    description: 'Only write where packages are, from the registries.',
  });
  force = Option.Boolean('--force', false, { description: 'Also write a pinned ring.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    if (this.artifacts) return this.completeArtifacts(repository);
    const locks = await this.progress('Digesting modules…', async () => {
      const tree = await (this.staged ? indexTree(repository) : workTree(repository));
      return planLocks(repository, await readPlatform(repository, tree), this);
    });
    if (this.check) return this.reportCheck(locks);
    const written = await writeLocks(repository, locks, this.staged);
    this.answer({
      written,
      rings: locks.map(({ ring, before, lock }) => ({
        ring: ring.name,
        changes: describeLockChanges(before, lock),
      })),
    });
    for (const { file, before, lock } of locks) {
      const state = written.includes(file) ? 'written' : 'unchanged';
      this.say(`${file} ${state}, ${lock.modules.size} modules`);
      if (written.includes(file)) {
        for (const change of describeLockChanges(before, lock)) this.say(`  ${change}`);
      }
    }
    return 0;
  }

  private async completeArtifacts(repository: GitRepository): Promise<number> {
    if (this.check || this.staged || this.force) {
      throw badInput('bad-usage', '--artifacts goes with --ring and --module only');
    }
    // Loaded only here: every commit's hook would pay for what speaks HTTP.
    const { completeArtifacts } = await import('../release/complete-artifacts.ts');
    const request = { ring: this.ring, alias: this.module };
    const completed = await this.progress('Asking the registries…', () =>
      completeArtifacts(repository, process.env, request),
    );
    this.answer({
      modules: completed.map(({ error, ...pin }) => ({
        ...pin,
        ...(error && { error: { code: error.code, message: error.message, hint: error.hint } }),
      })),
    });
    for (const { alias, version, artifact, locks, error } of completed) {
      const rings = locks.map((lock) => lock.ring).join(', ');
      if (error !== undefined) this.sayProblem(`${alias} ${version}`, error);
      else if (artifact === undefined) this.say(`${alias} ${version} is at no registry`);
      else this.say(`${alias} ${version}  ${artifact.url}  (${rings})`);
    }
    if (completed.length === 0) this.say('Every entry says where its package is.');
    const codes = completed.flatMap(({ error }) => error?.exitCode ?? []);
    return codes.every((code) => code === 3) ? (codes[0] ?? 0) : 1;
  }

  private sayProblem(what: string, { message, hint }: RinglockError): void {
    this.say(`${what}  not written: ${message}`);
    if (hint !== undefined) this.say(`  → ${hint}`);
  }

  private reportCheck(locks: readonly RingLock[]): number {
    const isRight = locks.every(({ differences }) => differences.length === 0);
    this.answer({
      ok: isRight,
      rings: locks.map(({ ring, differences }) => ({ ring: ring.name, differences })),
    });
    for (const { ring, file, differences } of locks) {
      if (differences.length === 0) this.say(`${file} is right`);
      else this.say(`${file} is not what modules/ says`);
      for (const { message } of differences) this.say(`  ${message}`);
      if (differences.length > 0) this.say(`  → ringlock lock${this.mend(ring.name)}`);
    }
    return isRight ? 0 : 1;
  }

  private mend(ring: string): string {
    return `${this.ring === undefined ? '' : ` --ring ${ring}`}${this.force ? ' --force' : ''}`;
  }
}
