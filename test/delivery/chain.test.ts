import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { type CliResult, runCli } from '../support/cli.ts';
import { filesLockedAt, filesServed, statusIfAny } from '../support/deploy.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { serveGit } from '../support/git-server.ts';
import { subtreeMissing, subtreeSplit } from '../support/made-history.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { gitEnvironment } from '../support/repository.ts';
import { startReplica } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

after(stopOwnPostgres);

const skip = subtreeMissing() ?? dockerRegistryMissing() ?? false;

/** Servers of git for the platform and its mirrors, and a platform that names its mirrors and registry. */
async function createWorld(t: TestContext) {
  const served = temporaryDirectory(t, 'served');
  const server = await serveGit(t, served, { config: { 'http.receivepack': 'true' } });
  const bare = (name: string): string => {
    const path = join(served, `${name}.git`);
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
    return `${server.url}/${name}.git`;
  };
  const registry = await startDockerRegistry(t);
  const platform = createPlatform(t);
  for (const [directory, alias] of [
    ['Products', 'products'],
    ['Orders', 'orders'],
    ['Communications', 'communications'],
    ['MobileApp', 'mobile-app'],
  ] as const) {
    const { version } = JSON.parse(platform.read(`modules/${directory}/module.json`));
    platform.setVersion(directory, version, { repository: { url: bare(alias) } });
  }
  platform.write({
    'manifests/ringlock.yaml': `registries:\n  - {kind: oci, url: ${registry}/acme/modules}\n`,
  });
  const repo = bare('platform');
  // By its path: git, waited for here, cannot push to a server that runs here.
  platform.git('remote', 'add', 'origin', join(served, 'platform.git'));
  const mirrored = (alias: string, ...args: string[]) =>
    execFileSync('git', args, {
      cwd: join(served, `${alias}.git`),
      env: gitEnvironment,
      encoding: 'utf8',
    }).trimEnd();
  return { platform, repo, registry, mirrored };
}

/** Runs a command that has to succeed. */
async function done(platform: Platform, ...args: string[]): Promise<CliResult> {
  const result = await runCli(platform.path, args);
  assert.equal(result.code, 0, `ringlock ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result;
}

/** Asks an application without a pause until the test ends. @returns what it answered, but for 200 */
function watchHealth(t: TestContext, url: string) {
  const failures: string[] = [];
  let isOver = false;
  let asked = 0;
  const asking = (async () => {
    while (!isOver) {
      const answer = await fetch(url).then(
        ({ status }) => `${status}`,
        (error: Error) => error.message,
      );
      asked += 1;
      if (answer !== '200') failures.push(answer);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  onEnd(t, async () => {
    isOver = true;
    await asking;
  });
  return { failures, asked: () => asked };
}

test('a module goes from a commit to mirror, registry and ring, up and back, and the application serves throughout', {
  skip,
}, async (t) => {
  const { platform, repo, registry, mirrored } = await createWorld(t);
  const databaseUrl = await createDatabase();

  await done(platform, 'lock');
  platform.git('add', '-A');
  for (const ring of ['stable', 'edge']) await done(platform, 'lock', '--ring', ring, '--force');
  platform.git('add', '-A');
  const first = platform.commit('Start delivering');
  platform.git('push', '-q', '--no-verify', '-u', 'origin', 'main');
  await done(platform, 'verify');
  await done(platform, 'compat');

  const split = await done(platform, 'split', 'orders');
  const expected = subtreeSplit(platform, 'modules/Orders').stdout.trim();
  assert.equal(split.stdout, `${expected}  orders\n`);
  await done(platform, 'mirror', 'orders');
  assert.equal(mirrored('orders', 'rev-parse', 'main', 'v1.0.0'), `${expected}\n${expected}`);
  await done(platform, 'tag', 'orders');
  assert.equal(platform.git('rev-parse', 'orders@1.0.0^{commit}'), first);

  const out = temporaryDirectory(t, 'packages');
  await done(platform, 'package', 'orders', '--out', out);
  execFileSync('sha256sum', ['--check', '--quiet', 'Orders-1.0.0.zip.sha256'], { cwd: out });
  assert.ok(existsSync(join(out, 'MANIFEST.json')));
  await done(platform, 'release', 'orders');
  const tags = await fetch(`${registry}/v2/acme/modules/orders/tags/list`);
  assert.deepEqual(((await tags.json()) as { tags: string[] }).tags, ['1.0.0']);
  platform.commit('Release orders 1.0.0');
  platform.git('push', '-q', '--no-verify', 'origin', 'main');

  const replica = await startReplica(t, 0, { repo, databaseUrl, ring: 'edge' });
  const served = async (version: string, commit: string) => {
    await waitUntil(
      `edge serves orders ${version}`,
      () => statusIfAny(replica.root)?.converged_commit === commit,
      60_000,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${replica.watching.tail()}`);
    });
    assert.deepEqual(filesServed(replica.root), filesLockedAt(platform, commit, 'edge'));
    assert.equal(replica.served('Orders'), version);
    await waitUntil('the database says so', async () => {
      const rows = await query<{ version: string }>(
        databaseUrl,
        `select version from module_versions where ring = 'edge' and alias = 'orders' and is_active`,
      );
      return rows.length === 1 && rows[0]?.version === version;
    });
  };
  const push = (): string => {
    platform.git('push', '-q', '--no-verify', 'origin', 'main');
    return platform.git('rev-parse', 'HEAD');
  };
  await served('1.0.0', platform.git('rev-parse', 'HEAD'));
  const health = watchHealth(t, replica.application.url);

  const again = await runCli(platform.path, ['install', 'orders@1.0.1', '--ring', 'edge']);
  assert.notEqual(again.code, 0, 'installed what nobody has released');
  platform.change('Orders', 'as of 1.0.1');
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  await done(platform, 'lock');
  platform.git('add', '-A');
  platform.commit('Orders 1.0.1');
  await done(platform, 'release', 'orders');
  platform.commit('Release orders 1.0.1');
  await done(platform, 'upgrade', 'orders', '--to', '1.0.1', '--ring', 'edge', '--commit');
  await served('1.0.1', push());

  await done(platform, 'rollback', 'orders', '--ring', 'edge', '--commit');
  await served('1.0.0', push());

  assert.deepEqual(health.failures, []);
  assert.ok(health.asked() > 10);
  const events = await query<{ action: string }>(
    databaseUrl,
    `select action from audit_events where module = 'orders' order by occurred_at, sequence`,
  );
  assert.deepEqual(
    events.map(({ action }) => action),
    ['install', 'upgrade', 'downgrade'],
  );
});
