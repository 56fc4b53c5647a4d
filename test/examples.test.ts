import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { deploy as deployTo, facts, makeModule, openTestRoot } from './store/support.ts';
import { onEnd } from './support/cleanup.ts';
import { deploy, push, reconcileOnce } from './support/deploy.ts';
import { createPlatform, lockedAt, type ModuleFixture, type Platform } from './support/platform.ts';
import { gitEnvironment } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary.ts';
import { waitUntil } from './support/wait-until.ts';
import { startWatching } from './support/watching.ts';

const example = join(import.meta.dirname, '../docs/examples/tenants-on-two-rings/server.mjs');

interface Answer {
  readonly status: number;
  readonly body: {
    readonly tenant?: string;
    readonly generation?: number;
    readonly orders?: string;
    readonly products?: string;
    readonly error?: string;
    readonly ring?: { readonly name: string; readonly lock_path: string };
    readonly commit?: string;
    readonly versions?: Readonly<Record<string, string>>;
  };
}

interface Application {
  readonly process: ChildProcess;
  readonly port: number;
  readonly reloadUrl: string;
  ask(hostname: string, path: string): Promise<Answer>;
}

test('the sample application serves two rings on two versions, and loses no request to a switch', async (t) => {
  const platform = createPlatform(t, {
    rings: ['stable', 'edge'],
    modules: modulesAtVersion('1.0.0'),
  });
  const repo = platform.addRemote(t);
  const roots = { stable: temporaryDirectory(t, 'stable'), edge: temporaryDirectory(t, 'edge') };
  const passes = Object.entries(roots).map(([ring, root]) => reconcileOnce({ repo, root, ring }));
  for (const { code, stderr } of await Promise.all(passes)) assert.equal(code, 0, stderr);
  const stable = await startApplication(t, roots.stable, { 'acme.example.com': 'acme' });
  const edge = await startApplication(t, roots.edge, { 'widgets.example.com': 'widgets' });
  startWatching(t, { repo, root: roots.edge, ring: 'edge' }, [
    ...['--interval', '500ms', '--notify-url', edge.reloadUrl],
    ...['--health-url', `http://127.0.0.1:${edge.port}/api/health`],
  ]);
  const streams = [
    stream(stable, 'acme.example.com'),
    stream(edge, 'widgets.example.com'),
  ] as const;

  const gate = join(temporaryDirectory(t, 'gate'), 'open');
  const inFlight = edge.ask('widgets.example.com', `/orders?until=${encodeURIComponent(gate)}`);
  platform.write(filesOf(modulesAtVersion('1.1.0')));
  const ahead = deploy(platform, 'Orders and Products 1.1.0');
  await servesLock(platform, edge, ahead, 'edge');
  writeFileSync(gate, '');
  const { body } = await inFlight;
  assert.deepEqual([body.orders, body.products, body.generation], ['1.0.0', '1.0.0', 1]);

  platform.git('revert', '--no-edit', 'HEAD');
  const back = push(platform, platform.git('rev-parse', 'HEAD'));
  await servesLock(platform, edge, back, 'edge');
  await servesLock(platform, stable, back, 'stable');

  const [ofStable, ofEdge] = await Promise.all(streams.map((each) => each.end()));
  assert.deepEqual(tally(ofStable), ['acme 200 1.0.0 1.0.0']);
  assert.deepEqual(tally(ofEdge), ['widgets 200 1.0.0 1.0.0', 'widgets 200 1.1.0 1.1.0']);
  // Each answer's generation is one that had these versions.
  const generations = new Set(
    ofEdge?.map(({ body: { generation, orders } }) => `${generation} ${orders}`),
  );
  assert.deepEqual([...generations].sort(), ['1 1.0.0', '2 1.1.0', '3 1.0.0']);

  const foreign = await stable.ask('widgets.example.com', '/orders');
  assert.deepEqual(
    [foreign.status, foreign.body.error],
    [421, 'widgets.example.com is no tenant of stable'],
  );
  assert.equal((await stable.ask('acme.example.com', '/invoices')).status, 404);
  assert.equal(await ended(edge.process, 'SIGTERM'), 0);
});

test('what the documentation says to PHP reads what the root serves', async (t) => {
  const root = await openTestRoot(t);
  const orders = makeModule('orders', '1.0.0');
  await deployTo(root, orders, makeModule('products', '1.2.0'));
  const script = join(import.meta.dirname, '../docs/examples/read-current.php');
  const documented = readFileSync(join(import.meta.dirname, '../docs/library.md'), 'utf8');
  assert.ok(documented.includes(readFileSync(script, 'utf8')), 'docs/library.md shows the script');
  const php = (path: string) => spawnSync('php', [script, path], { encoding: 'utf8' });
  const { error, stdout, stderr } = php(root.path);
  if (error !== undefined && process.env['RINGLOCK_TEST_REQUIRE_ALL'] !== '1') {
    t.skip('php is not installed');
    return;
  }
  const versions = join(root.path, 'versions');
  const [first, ...rest] = stdout.trimEnd().split('\n');
  assert.equal(first, `canary: generation 1 of commit ${facts.commit}`, stderr);
  assert.equal(rest[0], `orders 1.0.0 ${versions}/orders/1.0.0-${orders.pin.sha256.slice(7, 19)}`);
  assert.match(rest[1] ?? '', /^products 1\.2\.0 /);
  assert.match(php(versions).stdout, /serves nothing yet/);
});

/** Orders asks Products, with time for a switch in between; each answers with its version. */
function modulesAtVersion(version: string): ModuleFixture[] {
  const distribution = { exclude: ['tests'] };
  const manifest = (alias: string, dependencies: object) => {
    const usual = { name: alias, alias, version, dependencies, distribution };
    return `${JSON.stringify({ ...usual, routes: 'routes.mjs' }, null, 2)}\n`;
  };
  return [
    {
      ...{ directory: 'Products', alias: 'products', version },
      files: {
        'module.json': manifest('products', {}),
        'routes.mjs': `export const get = () => ({ products: '${version}' });\n`,
      },
    },
    {
      ...{ directory: 'Orders', alias: 'orders', version },
      files: {
        'module.json': manifest('orders', { products: '^1.0.0' }),
        'routes.mjs': `import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
export async function get({ searchParams, module }) {
  const until = searchParams.get('until');
  do await setTimeout(25); while (until !== null && !existsSync(until));
  return { orders: '${version}', ...module('products').get() };
}
`,
      },
    },
  ];
}

function filesOf(modules: readonly ModuleFixture[]): Record<string, string> {
  return Object.fromEntries(
    modules.flatMap(({ directory, files = {} }) =>
      Object.entries(files).map(([name, text]) => [`modules/${directory}/${name}`, String(text)]),
    ),
  );
}

async function startApplication(
  t: TestContext,
  root: string,
  tenants: Readonly<Record<string, string>>,
): Promise<Application> {
  const file = join(temporaryDirectory(t, 'tenants'), 'tenants.json');
  writeFileSync(file, JSON.stringify(tenants));
  const [port, reloadPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [example], {
    env: {
      ...gitEnvironment,
      ...{ MODULES_ROOT: root, TENANTS: file, PORT: String(port), RELOAD_PORT: String(reloadPort) },
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  onEnd(t, () => ended(child, 'SIGKILL'));
  const agent = new Agent({ keepAlive: true });
  onEnd(t, () => agent.destroy());
  const application: Application = {
    process: child,
    port,
    reloadUrl: `http://127.0.0.1:${reloadPort}/`,
    ask: (hostname, path) => ask(agent, port, hostname, path),
  };
  await waitUntil('the application listens', async () =>
    application.ask('localhost', '/api/health').catch(() => undefined),
  );
  return application;
}

function ask(agent: Agent, port: number, hostname: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { agent, port, path, host: '127.0.0.1', headers: { host: hostname } };
    get(options, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
    }).on('error', reject);
  });
}

/** Asks without a pause, two at a time, until it is ended; a request that fails fails the test. */
function stream(application: Application, hostname: string) {
  const answers: Answer[] = [];
  let isEnded = false;
  const lanes = [1, 2].map(async () => {
    while (!isEnded) answers.push(await application.ask(hostname, '/orders'));
  });
  const all = Promise.all(lanes);
  all.catch(() => {}); // told by end()
  return {
    end: async (): Promise<readonly Answer[]> => {
      isEnded = true;
      await all;
      return answers;
    },
  };
}

/** Waits until the health endpoint says what the lock of a commit pins. */
async function servesLock(
  platform: Platform,
  application: Application,
  commit: string,
  ring: string,
): Promise<void> {
  const locked = lockedAt(platform, commit, ring).map(({ alias, version }) => [alias, version]);
  const wanted = JSON.stringify(Object.fromEntries(locked.sort()));
  const { body } = await waitUntil(
    `${ring} serves ${wanted}`,
    async () => {
      const answer = await application.ask('localhost', '/api/health');
      const versions = Object.entries(answer.body.versions ?? {}).sort();
      return JSON.stringify(Object.fromEntries(versions)) === wanted ? answer : undefined;
    },
    60_000,
  );
  assert.equal(body.ring?.name, ring);
  const { modules } = JSON.parse(readFileSync(body.ring?.lock_path ?? '', 'utf8'));
  assert.deepEqual(Object.keys(modules), ['orders', 'products']);
}

function tally(answers: readonly Answer[] = []): string[] {
  const lines = answers.map(
    ({ status, body: { tenant, orders, products, error } }) =>
      error ?? `${tenant} ${status} ${orders} ${products}`,
  );
  return [...new Set(lines)].sort();
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.once('close', resolve);
    child.kill(signal);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
