import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { deploy } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';

test('diff says files, changelog, migrations, dependencies and platform, and Markdown keeps hostile text in code', async (t) => {
  const platform = createPlatform(t);
  platform.write({
    'modules/Orders/CHANGELOG.md':
      '# Orders\n\n## 1.1.0\n\n/close @everyone\u001b[2J\u202e\r\n\n````\n<script>x</script>\n\n## 1.0.5\n\n- Between.\n\n## 1.0.0\n\n- First.\n',
    'modules/Orders/migrations/0001_refunds.up.sql': 'create table refunds (id int);\n',
    'modules/Orders/src/a`b <img>.mjs': 'x\n',
  });
  platform.setVersion('Orders', '1.1.0', {
    dependencies: { products: '^1.0.0', 'mobile-app': '>=0.3.0' },
    compatibility: { platform: '>=2.0.0' },
  });
  platform.git('rm', '-q', 'modules/Orders/src/index.mjs');
  deploy(platform, 'Orders 1.1.0');
  const by = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCli(platform.path, ['diff', ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const named = JSON.parse(await by('orders@1.0.0', 'orders@1.1.0', '--json'));
  const [orders] = named.modules;
  assert.deepEqual(
    orders.files.map(({ path, change }: Record<string, string>) => `${change} ${path}`),
    [
      'changed CHANGELOG.md',
      'added migrations/0001_refunds.up.sql',
      'changed module.json',
      'added src/a`b <img>.mjs',
      'removed src/index.mjs',
    ],
  );
  assert.deepEqual(orders.migrations.up, ['0001_refunds']);
  assert.deepEqual(
    orders.changelog.map(({ version }: { version: string }) => version),
    ['1.1.0', '1.0.5'],
  );
  assert.deepEqual(orders.dependencies, [{ name: 'mobile-app', from: null, to: '>=0.3.0' }]);
  assert.deepEqual(orders.platform, { name: 'platform', from: '^2.0.0', to: '>=2.0.0' });
  const rings = JSON.parse(await by('--ring', 'stable', '--ring', 'canary', '--json'));
  assert.deepEqual({ ...rings.modules[0], rings: [] }, orders);
  const back = JSON.parse(await by('orders@1.1.0', 'orders@1.0.0', '--json')).modules[0];
  assert.deepEqual(back.migrations.down, [{ name: '0001_refunds', has_down: false }]);
  const range = JSON.parse(await by('HEAD~1..HEAD', '--json'));
  assert.deepEqual(range.modules[0].rings, ['canary']);
  const text = await by('HEAD~1..HEAD');
  assert.match(text, /orders 1\.0\.0 → 1\.1\.0 \(canary\)/);
  // What a changelog says steers no terminal, and Windows' line ends are line ends.
  assert.match(text, /\/close @everyone\\u001b\[2J\\u202e\n/);
  assert.equal(/[^\P{Cc}\n]|\u202e/u.test(text), false);
  const markdown = await by('HEAD~1..HEAD', '--markdown');
  assert.match(markdown, /`````text\n\/close @everyone/);
  assert.match(markdown, /``src\/a`b <img>\.mjs``/);
  assert.match(await by('HEAD..HEAD'), /pin the same/);
  const missing = await runCli(platform.path, ['diff', 'orders@1.0.0', 'orders@9.0.0']);
  assert.match(missing.stderr, /Versions there: 1\.1\.0, 1\.0\.0/);
});

test('list --remote names every version with the rings that run it', async (t) => {
  const platform = createPlatform(t);
  platform.change('Orders');
  platform.setVersion('Orders', '1.1.0');
  deploy(platform, 'Orders 1.1.0');
  const { code, stdout, stderr } = await runCli(platform.path, ['list', '--remote', '--json']);
  assert.equal(code, 0, stderr);
  const versions = JSON.parse(stdout).versions.filter(
    ({ alias }: { alias: string }) => alias === 'orders',
  );
  assert.deepEqual(
    versions.map(({ version, rings }: { version: string; rings: string[] }) => [version, rings]),
    [
      ['1.1.0', ['canary']],
      ['1.0.0', ['edge', 'stable']],
    ],
  );
});
