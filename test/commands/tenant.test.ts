import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CommandClass } from 'clipanion';
import { RingAssignCommand } from '../../src/commands/ring-assign.ts';
import { TenantAddCommand } from '../../src/commands/tenant-add.ts';
import { TenantDisableCommand } from '../../src/commands/tenant-disable.ts';
import { TenantEnableCommand } from '../../src/commands/tenant-enable.ts';
import { TenantListCommand } from '../../src/commands/tenant-list.ts';
import { TenantRemoveCommand } from '../../src/commands/tenant-remove.ts';
import { TenantShowCommand } from '../../src/commands/tenant-show.ts';
import { VerifyCommand } from '../../src/commands/verify.ts';
import { parseTenantsFile } from '../../src/repo/tenants.ts';
import { runCommand } from '../support/command.ts';
import { push } from '../support/deploy.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform, type Platform, writeLocks } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const file = 'manifests/tenants.yaml';
const tenants = `# Ours.
tenants:
  # --- stable
  acme: # the first
    name: Acme Ltd
    ring: stable # for now
    hostnames: [acme.example.com]
    modules: [orders, products]

  # --- small ones
  foo: { ring: canary, hostnames: [foo.example.com] }
  bar:
    ring: canary
    modules:
      - orders # theirs
`;

/** Commits made in this process have no author from the test's environment. */
function withAuthor(platform: Platform): Platform {
  platform.git('config', 'user.name', 'Ada Developer');
  platform.git('config', 'user.email', 'ada@example.com');
  return platform;
}

function withTenants(t: TestContext): Platform {
  const platform = withAuthor(createPlatform(t));
  platform.commit('Tenants', { [file]: tenants });
  return platform;
}

const commands: Readonly<Record<string, CommandClass>> = {
  'ring assign': RingAssignCommand,
  'tenant add': TenantAddCommand,
  'tenant disable': TenantDisableCommand,
  'tenant enable': TenantEnableCommand,
  'tenant list': TenantListCommand,
  'tenant remove': TenantRemoveCommand,
  'tenant show': TenantShowCommand,
};

const run = (path: string, args: readonly string[]) =>
  runCommand(path, commands[args.slice(0, 2).join(' ')] ?? VerifyCommand, args);

/** Runs a command that has to succeed; its text. */
async function done({ path }: Platform, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(path, args);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function refused({ path }: Platform, args: string[], code: number, message: RegExp) {
  const result = await run(path, args);
  assert.equal(result.code, code, result.stdout);
  assert.match(result.stderr, message);
}

test('tenant list and show say who gets which version where', async (t) => {
  const platform = withTenants(t);
  const listed = await done(platform, 'tenant', 'list', '--ring', 'canary', '--json');
  assert.deepEqual(
    JSON.parse(listed).tenants.map(({ id, modules }: { id: string; modules: string[] }) => [
      id,
      modules,
    ]),
    [
      ['foo', []],
      ['bar', ['orders']],
    ],
  );
  const users = await done(platform, 'tenant', 'list', '--module', 'orders');
  assert.match(users, /^acme +stable +orders products +acme\.example\.com\nbar +canary +orders$/m);
  assert.doesNotMatch(users, /foo/);
  const shown = await done(platform, 'tenant', 'show', 'acme');
  assert.match(shown, /^tenant +acme \(Acme Ltd\)\nring +stable\n[\s\S]*^products +1\.0\.0$/m);
  await refused(
    platform,
    ['tenant', 'show', 'acne'],
    1,
    /no tenant "acne"\n {2}Tenants there: acme, bar, foo/,
  );
  await refused(platform, ['tenant', 'list', '--ring', 'beta'], 1, /no ring "beta"/);
});

test('enable and disable change one item of one line, and refuse what the ring does not have', async (t) => {
  const platform = withTenants(t);
  const enabled = await done(
    platform,
    'tenant',
    'enable',
    'acme',
    'mobile-app',
    '--commit',
    '--reason',
    'for the sale',
  );
  assert.match(
    enabled,
    /^mobile-app is enabled for acme \(stable\)[\s\S]*^committed as [0-9a-f]{12}$/m,
  );
  assert.equal(
    platform.git('log', '-1', '--format=%B'),
    'Enable mobile-app for acme\n\nfor the sale',
  );
  assert.equal(
    platform.read(file),
    tenants.replace('[orders, products]', '[orders, products, mobile-app]'),
  );
  assert.match(
    await done(platform, 'tenant', 'enable', 'acme', 'orders'),
    /enabled for acme already; nothing changed/,
  );
  await refused(
    platform,
    ['tenant', 'enable', 'acme', 'oders'],
    1,
    /lock of stable has no module "oders"\n {2}Modules there: communications, mobile-app, orders, products/,
  );
  await done(platform, 'tenant', 'enable', 'bar', 'products');
  await done(platform, 'tenant', 'disable', 'bar', 'orders');
  const next = await done(platform, 'tenant', 'disable', 'acme', 'orders');
  assert.match(next, /Next: git commit -m "Disable orders for acme" -- manifests\/tenants\.yaml/);
  assert.equal(
    platform.read(file),
    tenants
      .replace('[orders, products]', '[products, mobile-app]')
      .replace('orders # theirs', 'products'),
  );
  await refused(platform, ['tenant', 'disable', 'foo', 'nothing'], 1, /has no module "nothing"/);
  await refused(
    platform,
    ['tenant', 'disable', 'acme', 'products', '--commit'],
    1,
    /has changes that are not committed/,
  );
});

test('add and remove keep every other line; what two claim is refused, by verify too', async (t) => {
  const platform = withTenants(t);
  const ring = 'manifests/edge.ring.yaml';
  platform.write({ [ring]: `${platform.read(ring)}hostnames: [edge.example.com]\n` });
  const add = ['tenant', 'add', 'quux', '--ring', 'edge', '--name', 'Quux: Inc'];
  await done(
    platform,
    ...add,
    '--hostname',
    '*.quux.example.com',
    '--module',
    'orders',
    '--dry-run',
  );
  assert.equal(platform.read(file), tenants);
  await done(platform, ...add, '--hostname', '*.quux.example.com', '--module', 'orders');
  const today = new Date().toISOString().slice(0, 10);
  const added = `  quux:\n    name: "Quux: Inc"\n    ring: edge\n    hostnames: ["*.quux.example.com"]\n    modules: [orders]\n    since: ${today}\n`;
  assert.equal(platform.read(file), `${tenants}${added}`);
  for (const [args, code, message] of [
    [[...add], 1, /has a tenant quux, on edge\n.*ring assign quux edge/],
    [
      ['tenant', 'add', 'b', '--ring', 'edge', '--hostname', 'foo.example.com'],
      1,
      /foo\.example\.com is a hostname of tenant foo and of tenant b/,
    ],
    [
      ['tenant', 'add', 'b', '--ring', 'stable', '--hostname', 'edge.example.com'],
      1,
      /edge\.example\.com is a hostname of ring edge and of tenant b/,
    ],
    [['tenant', 'add', 'b', '--ring', 'beta'], 1, /no ring "beta"/],
    [
      ['tenant', 'add', 'b', '--ring', 'edge', '--module', 'x'],
      1,
      /lock of edge has no module "x"/,
    ],
    [['tenant', 'add', 'No Id', '--ring', 'edge'], 2, /tenants\.yaml:\d+: .*No Id/],
    [
      ['tenant', 'add', 'b', '--ring', 'edge', '--hostname', 'UPPER'],
      2,
      /"UPPER", expected a lower-case DNS name/,
    ],
  ] as const) {
    await refused(platform, [...args], code, message);
  }
  await done(platform, 'tenant', 'remove', 'foo', '--reason', 'left');
  assert.equal(platform.read(file), `${tenants}${added}`.replace(/ {2}foo: .*\n/, ''));
  await refused(platform, ['tenant', 'remove', 'foo'], 1, /no tenant "foo"/);
  platform.write({
    [file]: tenants
      .replace('ring: canary, host', 'ring: beta, host')
      .replace('foo.example.com', 'acme.example.com'),
  });
  const verified = await run(platform.path, ['verify']);
  assert.equal(verified.code, 1);
  assert.match(
    verified.stdout,
    /tenants\.yaml: tenant foo sits on beta, which is no ring\n.*acme\.example\.com is a hostname of tenant acme and of tenant foo/,
  );
});

test('the first tenant of a platform that has none', async (t) => {
  const platform = withAuthor(createPlatform(t));
  platform.commit('No tenants', { [file]: null });
  await done(platform, 'tenant', 'add', 'acme', '--ring', 'stable', '--commit');
  assert.deepEqual([...parseTenantsFile(platform.read(file)).tenants.keys()], ['acme']);
  assert.equal(platform.git('status', '--porcelain'), '');
  await done(platform, 'tenant', 'remove', 'acme', '--commit');
  assert.equal(platform.read(file), 'tenants: {}\n');
});

test('ring assign moves several tenants, or all of a ring, in one commit', async (t) => {
  const platform = withTenants(t);
  const args = ['ring', 'assign', '--from-ring', 'canary', 'edge', '--reason', 'beta is over'];
  assert.match(await done(platform, ...args, '--dry-run'), /^foo would move from canary to edge/m);
  assert.equal(platform.read(file), tenants);
  const { assignments, commit } = JSON.parse(await done(platform, ...args, '--commit', '--json'));
  assert.equal(commit, platform.git('rev-parse', 'HEAD'));
  assert.deepEqual(
    assignments.map(({ tenant, from, to }: Record<string, string>) => [tenant, from, to]),
    [
      ['foo', 'canary', 'edge'],
      ['bar', 'canary', 'edge'],
    ],
  );
  assert.equal(
    platform.git('log', '-1', '--format=%B'),
    'Move 2 tenants to edge\n\n- foo: canary → edge\n- bar: canary → edge\n\nbeta is over',
  );
  assert.match(await done(platform, ...args), /No tenant sits on canary; nothing changed/);
  const several = await done(platform, 'ring', 'assign', 'acme', 'foo', 'edge', '--reason', 'x');
  assert.match(several, /^acme moves from stable to edge[\s\S]*^foo sits on edge already/m);
  for (const [wrong, code, message] of [
    [
      ['ring', 'assign', 'acme', '--reason', 'x'],
      2,
      /expected the tenants that move and their ring/,
    ],
    [
      ['ring', 'assign', 'acme', 'edge', '--from-ring', 'canary', '--reason', 'x'],
      2,
      /expected the tenants/,
    ],
    [['ring', 'assign', 'acme', 'nobody', 'canary', '--reason', 'x'], 1, /no tenant "nobody"/],
  ] as const) {
    await refused(platform, [...wrong], code, message);
  }
});

test('what these commands commit fires the right handlers in the right rings', async (t) => {
  const platform = withAuthor(createPlatform(t));
  const log = join(temporaryDirectory(t, 'log'), 'handled.log');
  const run = 'lifecycle/tenant.mjs';
  for (const directory of ['Orders', 'Products']) {
    platform.write({
      [`modules/${directory}/${run}`]: `import { appendFileSync, readFileSync } from 'node:fs';
const { event, ring, tenant } = JSON.parse(readFileSync(0, 'utf8'));
appendFileSync(${JSON.stringify(log)}, \`\${ring}: \${event} ${directory} \${tenant}\\n\`);
`,
    });
    platform.setVersion(directory, '1.1.0', { lifecycle: { onEnable: run, onDisable: run } });
  }
  platform.git('add', '-A');
  writeLocks(platform, platform.rings);
  platform.commit('Handlers', {
    [file]:
      'tenants:\n  acme: { ring: canary, modules: [orders] }\n  foo: { ring: edge, modules: [orders] }\n',
  });
  const repo = platform.addRemote(t);
  const roots = ['canary', 'edge'].map((ring) => [ring, temporaryDirectory(t, ring)] as const);
  let read = 0;
  const fired = async () => {
    for (const [ring, root] of roots) {
      const { code, status } = await passInProcess({ repo, root, ring });
      assert.equal(code, 0, JSON.stringify(status));
    }
    const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean) : [];
    const news = lines.slice(read);
    read = lines.length;
    return news;
  };
  const commit = async (...all: string[][]) => {
    for (const args of all) await done(platform, ...args, '--commit');
    push(platform, platform.git('rev-parse', 'HEAD'));
    return fired();
  };
  assert.deepEqual(await fired(), [], 'a ring that is met first takes the file as it is');
  assert.deepEqual(
    await commit(['tenant', 'enable', 'acme', 'products'], ['tenant', 'disable', 'acme', 'orders']),
    ['canary: onDisable Orders acme', 'canary: onEnable Products acme'],
  );
  assert.deepEqual(await commit(['ring', 'assign', 'acme', 'edge', '--reason', 'x']), [
    'canary: onDisable Products acme',
    'edge: onEnable Products acme',
  ]);
  assert.deepEqual(
    await commit(
      ['tenant', 'remove', 'foo'],
      ['tenant', 'add', 'new', '--ring', 'canary', '--module', 'orders'],
    ),
    ['canary: onEnable Orders new', 'edge: onDisable Orders foo'],
  );
});
