import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import { reconcileOnce } from '../support/deploy.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const stable = 'manifests/stable.lock.json';

/** What a vendor published: payments, from a repository that no platform of ours ever sees. */
async function publish(
  t: TestContext,
  registry: string,
  versions: readonly string[],
  more: object = {},
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const modules = [{ directory: 'Payments', alias: 'payments', version: '0.1.0', files }];
  const vendor = createPlatform(t, { modules });
  vendor.commit('Name the registry', { 'manifests/ringlock.yaml': registry });
  for (const version of versions) {
    vendor.setVersion('Payments', version, {
      dependencies: { products: '^1.0.0' },
      repository: 'https://git.vendor.example/payments.git',
      ...more,
    });
    vendor.change('Payments', `export const version = '${version}';\n`);
    await done(vendor, 'lock');
    vendor.git('add', '-A');
    vendor.commit(`Payments ${version}`);
    await done(vendor, 'release', `payments@${version}`);
  }
}

async function done(platform: Pick<Platform, 'path'>, ...args: string[]) {
  const result = await runCli(platform.path, args);
  assert.equal(result.code, 0, `ringlock ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result;
}

function entryOf(platform: Platform, file = stable) {
  return JSON.parse(platform.read(file)).modules.payments;
}

/** A platform that names the registry, and has no commit of payments. */
function customer(t: TestContext, registry: string): Platform {
  const platform = createPlatform(t);
  platform.commit('Name the registry', { 'manifests/ringlock.yaml': registry });
  return platform;
}

const yamlOf = (kind: string, url: string) => `registries:\n  - {kind: ${kind}, url: '${url}'}\n`;

async function walk(t: TestContext, kind: string, url: string, environment: NodeJS.ProcessEnv) {
  const registry = yamlOf(kind, url);
  await publish(t, registry, ['1.0.0', '1.1.0']);
  const platform = customer(t, registry);
  const root = temporaryDirectory(t, 'root');
  const served = async (version: string) => {
    const asked = { repo: platform.path, root, ring: 'stable' };
    const pass = await reconcileOnce(asked, [], environment);
    assert.equal(pass.code, 0, `${pass.stdout}${pass.stderr}`);
    const { directory } = entryOf(platform);
    const text = readFileSync(join(root, 'current', directory, 'module.json'), 'utf8');
    assert.equal(JSON.parse(text).version, version);
    for (const args of [['verify'], ['lock', '--check'], ['compat', '--ring', 'stable']]) {
      await done(platform, ...args);
    }
  };
  await done(platform, 'install', 'payments@1.0.0', '--ring', 'stable', '--commit');
  const { tree, source, artifact, sha256, file_count, directory } = entryOf(platform);
  assert.equal(tree, null);
  assert.equal(source, 'https://git.vendor.example/payments.git');
  assert.equal(directory, kind === 'directory' ? 'Payments' : directory);
  assert.match(artifact.sha256, /^sha256:[0-9a-f]{64}$/);
  assert.match(sha256, /^sha256:[0-9a-f]{64}$/);
  assert.ok(file_count > 0);
  assert.equal(platform.git('tag'), '', 'there is no commit to tag');
  await served('1.0.0');
  await done(platform, 'upgrade', 'payments', '--to', '1.1.0', '--ring', 'stable', '--commit');
  await served('1.1.0');
  const range = await done(platform, 'diff', 'HEAD~1..HEAD', '--ring', 'stable');
  assert.match(range.stdout, /payments.*1\.0\.0.*1\.1\.0/);
  const named = await done(platform, 'diff', 'payments@1.0.0', 'payments@1.1.0');
  assert.match(named.stdout, /payments.*1\.0\.0.*1\.1\.0/);
  await done(platform, 'rollback', 'payments', '--ring', 'stable', '--commit');
  assert.equal(entryOf(platform).version, '1.0.0');
  await served('1.0.0');
  return { platform, root };
}

describe('a module that only a registry has', { concurrency: 2 }, () => {
  it('is installed, served, upgraded, compared and rolled back from docker-registry', {
    skip: dockerRegistryMissing() ?? false,
  }, async (t) => {
    const url = `${await startDockerRegistry(t)}/vendor/modules`;
    await walk(t, 'oci', url, { MODULE_REGISTRY_URL: url });
  });

  it('is installed, upgraded and rolled back on one root', async (t) => {
    const url = temporaryDirectory(t, 'registry');
    const registry = yamlOf('directory', url);
    await publish(t, registry, ['1.0.0', '1.1.0']);
    const platform = customer(t, registry);
    const root = temporaryDirectory(t, 'root');
    const environment = { RINGLOCK_MODULE_PLACES: `file://${url}` };
    const first = await reconcileOnce(
      { repo: platform.path, root, ring: 'stable' },
      [],
      environment,
    );
    assert.equal(first.code, 0, `${first.stdout}${first.stderr}`);
    for (const [version, ...args] of [
      ['1.0.0', 'install', 'payments@1.0.0'],
      ['1.1.0', 'upgrade', 'payments', '--to', '1.1.0'],
      ['1.0.0', 'rollback', 'payments'],
    ] as const) {
      const result = await runCli(platform.path, [...args, '--root', root], environment);
      assert.equal(result.code, 0, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
      const text = readFileSync(join(root, 'current/Payments/module.json'), 'utf8');
      assert.equal(JSON.parse(text).version, version);
    }
  });

  it('is promoted like any other', async (t) => {
    const url = temporaryDirectory(t, 'registry');
    const registry = yamlOf('directory', url);
    await publish(t, registry, ['1.0.0']);
    const platform = customer(t, registry);
    await done(platform, 'install', 'payments@1.0.0', '--ring', 'edge', '--commit');
    await done(platform, 'ring', 'promote', 'payments', '--from', 'edge', '--to', 'stable');
    assert.deepEqual(entryOf(platform), entryOf(platform, 'manifests/edge.lock.json'));
    // With its registry away nothing is found wrong, nor called right; what depends on it is not at fault.
    const lock = JSON.parse(platform.read(stable));
    lock.modules.orders.artifact = null;
    platform.setVersion('Orders', '1.0.1', { dependencies: { payments: '^1.0.0' } });
    platform.commit('Orders needs payments');
    await done(platform, 'lock', '--ring', 'stable', '--module', 'orders', '--force');
    renameSync(url, `${url}-away`);
    const asked = async (...args: string[]) => (await runCli(platform.path, args)).code;
    assert.equal(await asked('compat', '--ring', 'stable'), 0, 'it remembers what it needs');
    const away = await runCli(platform.path, ['verify', '--ring', 'stable', '--json']);
    rmSync(join(platform.path, '.git/ringlock/packages'), { recursive: true });
    const { rings } = JSON.parse(away.stdout);
    assert.deepEqual(
      [away.code, ...rings[0].problems.map(({ alias, known }: never) => [alias, known])],
      [3, ['payments', false]],
    );
    assert.equal(await asked('compat', '--ring', 'stable'), 3);
  });

  it('is refused when its package says another alias or version', async (t) => {
    const url = temporaryDirectory(t, 'registry');
    const registry = yamlOf('directory', url);
    await publish(t, registry, ['1.0.0']);
    const platform = customer(t, registry);
    const before = platform.read(stable);
    cpSync(join(url, 'payments'), join(url, 'billing'), { recursive: true });
    cpSync(join(url, 'payments/1.0.0'), join(url, 'payments/1.0.1'), { recursive: true });
    for (const end of ['.zip', '.zip.sha256']) {
      const from = join(url, `payments/1.0.1/Payments-1.0.0${end}`);
      if (!existsSync(from)) continue;
      const text = end === '.zip' ? readFileSync(from) : readFileSync(from, 'utf8');
      const to = join(url, `payments/1.0.1/Payments-1.0.1${end}`);
      writeFileSync(to, typeof text === 'string' ? text.replace('1.0.0.zip', '1.0.1.zip') : text);
      rmSync(from);
    }
    for (const wanted of ['billing@1.0.0', 'payments@1.0.1']) {
      const { code, stderr } = await runCli(platform.path, ['install', wanted, '--ring', 'stable']);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /holds payments 1\.0\.0, expected (billing 1\.0\.0|payments 1\.0\.1)/);
      assert.equal(platform.read(stable), before);
    }
  });

  it('is refused when its bytes are not those that were published or released', async (t) => {
    const url = temporaryDirectory(t, 'registry');
    const registry = yamlOf('directory', url);
    await publish(t, registry, ['1.0.0']);
    const platform = customer(t, registry);
    const before = platform.read(stable);
    const file = join(url, 'payments/1.0.0/Payments-1.0.0.zip');
    const right = readFileSync(file);
    const wrong = Buffer.from(right);
    wrong[60] = (wrong[60] ?? 0) ^ 1;
    writeFileSync(file, wrong);
    const args = ['install', 'payments@1.0.0', '--ring', 'stable'];
    const changed = await runCli(platform.path, args);
    assert.equal(changed.code, 1, changed.stderr);
    assert.match(changed.stderr, /has other bytes than it should/);
    assert.equal(platform.read(stable), before);
    writeFileSync(file, right);
    await done(platform, ...args, '--commit');
    // The vendor replaces 1.0.0, sums and all.
    rmSync(join(url, 'payments'), { recursive: true });
    await publish(t, registry, ['1.0.0'], { description: 'Other bytes.' });
    const edge = await runCli(platform.path, ['install', 'payments@1.0.0', '--ring', 'edge']);
    assert.equal(edge.code, 1, edge.stderr);
    assert.match(
      edge.stderr,
      /payments 1\.0\.0 has the digest sha256:\w+ in .*, it was released with/,
    );
    const verified = await runCli(platform.path, ['verify', '--ring', 'stable']);
    assert.equal(verified.code, 1, 'verify trusts a package that was replaced');
  });

  it('is refused when it is too large or needs what the ring lacks', async (t) => {
    const url = temporaryDirectory(t, 'registry');
    const registry = yamlOf('directory', url);
    await publish(t, registry, ['1.0.0'], { dependencies: { ledger: '^3.0.0' } });
    const platform = customer(t, registry);
    const before = platform.read(stable);
    const args = ['install', 'payments@1.0.0', '--ring', 'stable'];
    const lacking = await runCli(platform.path, args);
    assert.equal(lacking.code, 1, lacking.stderr);
    assert.match(lacking.stderr, /ledger/);
    const many = Array.from({ length: 30 }, (_, n) => [`assets/${n}.txt`, `${n}\n`]);
    await publish(t, registry, ['2.0.0'], {}, Object.fromEntries(many));
    platform.write({ 'manifests/ringlock.yaml': `${registry}limits:\n  files: 20\n` });
    const large = await runCli(platform.path, ['install', 'payments@2.0.0', '--ring', 'stable']);
    assert.equal(large.code, 1, large.stderr);
    assert.match(large.stderr, /the package of payments 2\.0\.0.* files, expected at most 20/);
    assert.equal(platform.read(stable), before);
  });

  it('needs its registry, and what git has does not', async (t) => {
    const registry = yamlOf('oci', 'http://127.0.0.1:9/vendor/modules');
    const platform = customer(t, registry);
    const before = platform.read(stable);
    const away = await runCli(platform.path, ['install', 'payments@1.0.0', '--ring', 'stable']);
    assert.equal(away.code, 3, away.stderr);
    assert.match(away.stderr, /payments 1\.0\.0 was not found, and not every registry answered/);
    assert.equal(platform.read(stable), before);
    await done(platform, 'install', 'orders@1.0.0', '--ring', 'stable', '--force');
  });
});
