import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { cliPath, runCli } from '../support/cli.ts';
import { deploy, push, readEvents, reconcileOnce, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';

describe('a hotfix line', { concurrency: 2 }, () => {
  for (const from of ['branch', 'tag'] as const) {
    it(`pins 1.4.1 of a ${from} into stable while main is at 1.6, and nothing regresses`, async (t) => {
      const platform = createPlatform(t, { rings: ['stable', 'canary'] });
      const repo = platform.addRemote(t);
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await runCli(platform.path, args);
        assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
        return stdout;
      };
      release(platform, 'Orders', '1.4.0');
      deploy(platform, 'Orders 1.4.0');
      await run('upgrade', 'orders', '--to', '1.4.0', '--ring', 'stable', '--commit');
      platform.git('branch', 'maintenance/1.4');
      release(platform, 'Orders', '1.6.0');
      deploy(platform, 'Orders 1.6.0');
      platform.git('switch', '-q', 'maintenance/1.4');
      release(platform, 'Orders', '1.4.1');
      const fix = platform.commit('Mend refunds');
      platform.git('push', '-q', '--no-verify', 'origin', 'HEAD');
      if (from === 'tag') platform.git('tag', 'orders@1.4.1');
      platform.git('switch', '-q', 'main');
      if (from === 'tag') platform.git('branch', '-qD', 'maintenance/1.4');
      await run('hooks', 'install');
      await run('upgrade', 'orders', '--to', '1.4.1', '--ring', 'stable', '--commit');
      assert.equal(platform.git('rev-parse', 'orders@1.4.1'), fix);
      platform.git('push', '-q', 'origin', 'orders@1.4.1', 'main');
      for (const args of [
        ['lock', '--check'],
        ['verify'],
        ['compat', '--ring', 'stable'],
        ['compat'],
      ]) {
        await run(...args);
      }
      const roots = { stable: temporaryDirectory(t, 's'), canary: temporaryDirectory(t, 'c') };
      for (const [ring, version] of [
        ['stable', '1.4.1'],
        ['canary', '1.6.0'],
      ] as const) {
        const { code, stderr } = await reconcileOnce({ repo, root: roots[ring], ring });
        assert.equal(code, 0, stderr);
        assert.equal(servedVersion(roots[ring], 'Orders'), version);
      }
      await run('ring', 'promote', 'orders', '--from', 'canary', '--to', 'stable');
      platform.git('commit', '-qam', 'Promote');
      push(platform, platform.git('rev-parse', 'HEAD'));
      assert.equal((await reconcileOnce({ repo, root: roots.stable, ring: 'stable' })).code, 0);
      assert.equal(servedVersion(roots.stable, 'Orders'), '1.6.0');
    });
  }
});

describe('a theme', () => {
  it('is upgraded, compared and rolled back as a module is', async (t) => {
    const platform = createPlatform(t, { rings: ['stable', 'canary'] });
    const theme = (version: string) => ({
      'manifests/ringlock.yaml': 'roots: [modules, themes]\n',
      'themes/Dark/module.json': `${JSON.stringify({ name: 'Dark', alias: 'dark', version })}\n`,
      'themes/Dark/style.css': `/* ${version} */\n`,
    });
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await runCli(platform.path, args);
      assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    };
    for (const version of ['1.0.0', '1.1.0']) {
      platform.write(theme(version));
      await run('lock');
      platform.git('add', '-A');
      platform.commit(`Dark ${version}`);
    }
    await run('install', 'dark@1.0.0', '--ring', 'stable', '--commit');
    await run('upgrade', 'Dark', '--to', '1.1.0', '--ring', 'stable', '--commit');
    assert.match(await run('diff', 'dark@1.0.0', 'dark@1.1.0'), /changed {2}style\.css/);
    assert.match(await run('list', '--remote'), /dark +1\.1\.0 +git +canary, stable/);
    await run('rollback', 'dark', '--ring', 'stable', '--commit');
    await run('verify');
    const { modules } = JSON.parse(platform.read('manifests/stable.lock.json'));
    assert.equal(modules.dark.version, '1.0.0');
    assert.equal(modules.dark.directory, 'themes/Dark');
  });
});

describe('an upgrade of a root that is killed', () => {
  it('is ended by the reconciler that comes after it', async (t) => {
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const root = temporaryDirectory(t, 'root');
    const mark = `${temporaryDirectory(t, 'mark')}/here`;
    platform.write({
      'modules/Orders/lifecycle/on-upgrade.mjs': `import { existsSync, writeFileSync } from 'node:fs';\nconst mark = ${JSON.stringify(mark)};\nif (!existsSync(mark)) { writeFileSync(mark, ''); await new Promise((r) => setTimeout(r, 60000)); }\n`,
    });
    platform.setVersion('Orders', '1.1.0', {
      lifecycle: { onUpgrade: { run: 'lifecycle/on-upgrade.mjs', idempotent: true } },
    });
    deploy(platform, 'Orders 1.1.0');
    assert.equal((await reconcileOnce({ repo, root, ring: 'stable' })).code, 0);
    const started = spawn(
      process.execPath,
      [cliPath, 'upgrade', 'orders', '--to', '1.1.0', '--root', root],
      { cwd: platform.path, stdio: 'ignore' },
    );
    await waitUntil('it is in the handler', () => existsSync(mark));
    started.kill('SIGKILL');
    const next = await reconcileOnce({ repo, root, ring: 'stable' });
    assert.equal(next.code, 0, next.stderr);
    assert.equal(servedVersion(root, 'Orders'), '1.1.0');
    const upgrades = readEvents(root).filter(
      ({ module, action, outcome }) =>
        module === 'orders' && action === 'upgrade' && outcome === 'succeeded',
    );
    assert.equal(upgrades.length, 1);
  });
});
