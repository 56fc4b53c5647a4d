import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import { podHealth, type RingPod, waitForPod } from './ring-pod.ts';
import type { Show } from './show.ts';
import type { Stage } from './stage.ts';

/** Plays the main path from a blocked commit to the audit; every promise is checked as it goes. */
export async function playStory(stage: Stage, show: Show): Promise<void> {
  const story = new Story(stage, show);
  await story.firstConvergence();
  await story.blockedCommit();
  const bumped = await story.bumpedCommit();
  await story.promotion();
  await story.drift();
  await story.localRollback();
  await story.revert(bumped);
  await story.auditQuestion();
  await story.rings();
}

class Story {
  readonly #stage: Stage;
  readonly #show: Show;

  constructor(stage: Stage, show: Show) {
    this.#stage = stage;
    this.#show = show;
  }

  async firstConvergence(): Promise<void> {
    const show = this.#show;
    show.output(`repository  ${this.#stage.repositoryUrl}`);
    for (const pod of this.#stage.pods) {
      const { reached, health, ms } = await waitForPod(pod, ({ state }) => state === 'converged');
      show.change(pod.ring, `${Object.keys(health?.modules ?? {}).length} modules after ${ms} ms`);
      show.expect(reached, `${pod.ring} runs what its lock says (${pod.url}/api/health)`);
    }
  }

  async blockedCommit(): Promise<void> {
    const show = this.#show;
    show.step('A commit that changes a module without a new version is blocked');
    await this.#run("echo '// totals are rounded once' >> modules/Orders/src/rounding.mjs");
    const { code, output } = await this.#run('git add -A; git commit -m "Round totals once"');
    show.expect(code !== 0, 'git refused the commit');
    show.expect(output.includes('ringlock bump orders patch'), 'and said what mends it');
  }

  /** @returns the id of the commit that deployed Orders 1.0.1 */
  async bumpedCommit(): Promise<string> {
    const show = this.#show;
    show.step('With a new version the hook writes the lock, and the commit deploys to canary');
    await this.#run('ringlock bump orders patch');
    await this.#run('git add -A; git commit -q -m "Orders 1.0.1: round totals once"');
    const { output: changed } = await this.#run('git show --stat --format= HEAD');
    show.expect(changed.includes('manifests/canary.lock.json'), "canary's lock is in the commit");
    const { output: left } = await this.#quietly('git status --short');
    show.expect(left === '', 'and the work tree is clean');
    await this.#run('git push -q');
    await this.#expectVersion('canary', '1.0.1');
    show.expect((await this.#ordersIn('edge')) === '1.0.0', 'edge still runs orders 1.0.0');
    return (await this.#quietly('git rev-parse --short=12 HEAD')).output.trim();
  }

  async promotion(): Promise<void> {
    const show = this.#show;
    show.step('A promotion to edge is a copied lock entry, and a commit');
    await this.#run('ringlock ring promote orders --from canary --to edge');
    await this.#run('git commit -a -q -m "Promote Orders 1.0.1 to edge"');
    await this.#run('git diff -U0 HEAD~1 HEAD -- manifests/edge.lock.json');
    await this.#run('git push -q');
    await this.#expectVersion('edge', '1.0.1');
    show.expect((await this.#ordersIn('stable')) === '1.0.0', 'stable still runs orders 1.0.0');
  }

  async drift(): Promise<void> {
    const show = this.#show;
    show.step('A file changed by hand in a pod is put back');
    const canary = this.#pod('canary');
    const file = join(canary.root, 'current/Orders/module.json');
    const pinned = readFileSync(file, 'utf8');
    const before = (await podHealth(canary))?.generation;
    await this.#run(`chmod u+w ${file}; echo tampered >> ${file}`);
    const { ms } = await waitForPod(
      canary,
      ({ generation, state }) => generation !== before && state === 'converged',
    );
    show.change('canary', `repaired after ${ms} ms`);
    show.expect(readFileSync(file, 'utf8') === pinned, 'the file is as it was pinned');
  }

  async localRollback(): Promise<void> {
    this.#show.step('At night, without git: back on this pod, and self-healing leaves it alone');
    const { root } = this.#pod('edge');
    await this.#run(`ringlock rollback orders --local --root ${root} --reason "refunds fail"`);
    await this.#expectVersion('edge', '1.0.0');
    await this.#run(`ringlock status --root ${root} | grep holds`);
    await this.#run(`ringlock unhold orders --local --root ${root}`);
    await this.#expectVersion('edge', '1.0.1');
  }

  async revert(bumped: string): Promise<void> {
    this.#show.step('git revert is the rollback');
    await this.#run(`git revert --no-edit ${bumped}`);
    await this.#run('git push -q');
    await this.#expectVersion('canary', '1.0.0');
  }

  async auditQuestion(): Promise<void> {
    const show = this.#show;
    show.step('"When did Orders 1.0.1 reach canary, and by whose commit?"');
    await this.#untilAudited('"downgrade"');
    const { output } = await this.#run(
      `DATABASE_URL=${this.#stage.databaseUrl} ringlock history orders --ring canary`,
    );
    show.expect(output.includes('1.0.1'), 'the audit in PostgreSQL answers');
    show.expect(output.includes('Ada Developer'), 'with the author of the commit');
  }

  async rings(): Promise<void> {
    this.#show.step('What runs where');
    const table = new Table({
      head: ['ring', 'module', 'version', 'commit'],
      style: { head: [], border: [], compact: true },
    });
    for (const pod of this.#stage.pods) {
      const health = await podHealth(pod);
      const commit = health?.converged_commit?.slice(0, 12) ?? '';
      for (const [alias, version] of Object.entries(health?.modules ?? {})) {
        table.push([pod.ring, alias, version, commit]);
      }
    }
    console.log(table.toString());
  }

  #run(commandLine: string) {
    return this.#stage.run(commandLine);
  }

  #quietly(commandLine: string) {
    return this.#stage.run(commandLine, { quiet: true });
  }

  async #expectVersion(ring: string, version: string): Promise<void> {
    const { reached, ms } = await waitForPod(
      this.#pod(ring),
      ({ modules, state }) => modules['orders'] === version && state === 'converged',
    );
    this.#show.change(ring, `orders ${version} after ${ms} ms`);
    this.#show.expect(reached, `${ring} runs orders ${version}`);
  }

  async #ordersIn(ring: string): Promise<string | undefined> {
    return (await podHealth(this.#pod(ring)))?.modules['orders'];
  }

  /** Audit rows reach PostgreSQL after the switch, not before it. */
  async #untilAudited(text: string): Promise<void> {
    const command = `DATABASE_URL=${this.#stage.databaseUrl} ringlock history orders --ring canary --json`;
    for (let attempt = 0; attempt < 50; attempt++) {
      if ((await this.#quietly(command)).output.includes(text)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  #pod(ring: string): RingPod {
    const found = this.#stage.pods.find((candidate) => candidate.ring === ring);
    if (found === undefined) throw new Error(`there is no pod of ${ring}`);
    return found;
  }
}
