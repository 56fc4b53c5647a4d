import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCli } from '../support/cli.ts';
import { serveGit } from '../support/git-server.ts';
import { recordGit } from '../support/mirrors.ts';
import { cloneOf, createPlatform, type Platform, writeLocks } from '../support/platform.ts';
import { gitEnvironment, openRepository, type Repository } from '../support/repository.ts';
import { requestToken, serveRequests } from '../support/request-forges.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const branch = 'ringlock/promote/canary/edge/orders';
const args = ['ring', 'promote', 'orders', '--from', 'canary', '--to', 'edge', '--merge-request'];
const file = 'manifests/edge.lock.json';

/** A commit on main that canary follows and edge does not. */
function release(platform: Platform, version: string): void {
  platform.change('Orders');
  platform.setVersion('Orders', version);
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit(`Orders ${version}`);
}

/** The platform in a bare repository, whose server lets in who has the token. */
async function createWorld(t: TestContext) {
  const served = temporaryDirectory(t, 'served');
  const path = join(served, 'platform.git');
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
  const bare = openRepository(path);
  const server = await serveGit(t, served, {
    auth: { user: 'oauth2', password: requestToken },
    config: { 'http.receivepack': 'true' },
  });
  const forge = await serveRequests(t, 'gitlab', path);
  const platform = createPlatform(t, { rings: ['stable', 'edge', 'canary'] });
  platform.commit('Where requests are opened', {
    'manifests/ringlock.yaml': `mergeRequests: {kind: gitlab, url: "${forge.url}", project: acme/platform}\n`,
  });
  platform.git('push', '-q', path, 'main');
  const clone = cloneOf(t, path);
  // What a pipeline's clone has in its remote goes nowhere.
  const url = server.url.replace('://', '://ci:old-password-0123@');
  clone.git('remote', 'set-url', 'origin', `${url}/platform.git`);
  const { log, environment } = recordGit(t);
  const run = (from: Repository, ...more: string[]) =>
    runCli(from.path, [...args, ...more], { RINGLOCK_REQUEST_TOKEN: requestToken, ...environment });
  const publish = (version: string) => {
    release(platform, version);
    platform.git('push', '-q', path, 'main');
  };
  return { platform, clone, bare, forge, run, publish, log: () => readFileSync(log, 'utf8') };
}

test('a promotion is asked for on the tip of a protected branch, with what it brings', async (t) => {
  const { clone, bare, forge, run, publish, log } = await createWorld(t);
  publish('1.1.0');
  // The clone is behind, and somebody is at work in it.
  clone.write({ 'modules/Orders/module.json': 'half a file', [file]: '{' });
  clone.git('add', '-A');
  const status = clone.git('status', '--porcelain');

  const dry = await run(clone, '--dry-run');
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, new RegExp(`would push ${branch} and open a request to main`));
  assert.equal(bare.tryGit('rev-parse', '-q', '--verify', branch).status, 1);

  const opened = await run(clone, '--reason', 'asked for @all');
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(
    opened.stdout,
    /^manifests\/edge\.lock\.json of main: orders 1\.1\.0 \(was 1\.0\.0\), not merged$/m,
  );
  assert.match(opened.stdout, /^opened !1 https:\/\/gitlab\.example\.com\//m);
  const [request] = forge.requests;
  assert.ok(request);
  assert.equal(request.title, 'Promote orders 1.1.0 from canary to edge');
  assert.match(
    request.text,
    /^Reason: `asked for @all`\n\n### `canary` → `edge`\n\n#### `orders` `1\.0\.0` → `1\.1\.0`/,
  );
  assert.match(request.text, /^- changed `src\/index\.mjs` \(\d+ → \d+ bytes\)$/m);
  assert.equal(bare.git('diff', '--name-only', 'main', branch), file);
  const lock = (ref: string, ring: string) =>
    JSON.parse(bare.git('show', `${ref}:manifests/${ring}.lock.json`)).modules.orders;
  assert.deepEqual(lock(branch, 'edge'), lock('main', 'canary'));
  assert.equal(clone.git('status', '--porcelain'), status);

  publish('1.2.0');
  const newer = await run(clone, '--json');
  assert.equal(newer.code, 0, newer.stderr);
  const answer = JSON.parse(newer.stdout);
  assert.deepEqual(
    [answer.request.state, answer.request.reference, answer.written, answer.next],
    ['updated', '!1', false, null],
  );
  assert.equal(answer.request.commit, bare.git('rev-parse', branch));
  assert.equal(lock(branch, 'edge').version, '1.2.0');
  const shown = [dry, opened, newer].map(({ stdout, stderr }) => stdout + stderr).join('');
  for (const secret of [
    requestToken,
    'old-password-0123',
    Buffer.from(`oauth2:${requestToken}`).toString('base64'),
  ]) {
    assert.ok(!`${shown}${log()}${bare.git('config', '--list')}`.includes(secret));
  }
  assert.match(log(), /^push .*--force-with-lease=refs\/heads\/ringlock/m);
});

test('a promotion that is refused on the tip is not asked for', async (t) => {
  const { clone, platform, bare, forge, run, publish } = await createWorld(t);
  publish('1.1.0');
  platform.commit('Nothing moves for now', {
    'manifests/edge.ring.yaml':
      'promotesFrom: canary\nholds: {orders: {version: 1.0.0, reason: x}}\n',
  });
  platform.git('push', '-q', bare.path, 'main');
  const held = await run(clone);
  assert.equal(held.code, 1);
  assert.match(held.stderr, /orders is held at 1\.0\.0 in edge/);
  assert.deepEqual(forge.changes, []);
  assert.equal(bare.git('for-each-ref', '--format=%(refname)'), 'refs/heads/main');
  const both = await run(clone, '--commit');
  assert.equal(both.code, 2);
  const settings = `mergeRequests: {kind: gitlab, url: "https://evil.example.com", project: acme/platform}\n`;
  clone.commit('Send it to me', { 'manifests/ringlock.yaml': settings });
  const elsewhere = await run(clone, '--json');
  assert.equal(elsewhere.code, 2);
  assert.equal(JSON.parse(elsewhere.stdout).error.code, 'token-not-for-server');
});

test('what has passed its gates is asked for by itself, one request a module', async (t) => {
  const platform = createPlatform(t, { rings: ['edge', 'canary'] });
  const bare = openRepository(platform.addRemote(t));
  const forge = await serveRequests(t, 'github', bare.path);
  platform.setVersion('Communications', '1.1.0');
  platform.setVersion('MobileApp', '0.4.0');
  platform.setVersion('Products', '1.1.0', { dependencies: { 'mobile-app': '^0.4.0' } });
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit('Three versions', {
    'manifests/ringlock.yaml': `mergeRequests: {kind: github, url: "${forge.url}", project: acme/platform}\n`,
  });
  platform.git('push', '-q', 'origin', 'main');
  const run = async (...more: string[]) => {
    const auto = ['ring', 'promote', '--auto', '--merge-request', '--json', ...more];
    const environment = {
      RINGLOCK_REQUEST_TOKEN: requestToken,
      RINGLOCK_REQUEST_URL: forge.url,
    };
    const { code, stdout, stderr } = await runCli(platform.path, auto, environment);
    assert.equal(code, 0, stderr);
    const { requests } = JSON.parse(stdout);
    return requests.map(({ modules, request, refusal }: never) => [
      ...[modules[0], request?.['state'] ?? null, refusal?.['code'] ?? null],
    ]);
  };
  const [communications, mobile] = ['communications@1.1.0', 'mobile-app@0.4.0'];
  // It runs on top of another one, which is not merged yet.
  const waits = ['products@1.1.0', null, 'incompatible-lock'];
  const looked = [[communications, 'would-open', null], [mobile, 'would-open', null], waits];
  assert.deepEqual(await run('--dry-run'), looked);
  assert.deepEqual(forge.changes, []);
  const opened = [[communications, 'opened', null], [mobile, 'opened', null], waits];
  assert.deepEqual(await run(), opened);
  const merged = forge.requests.find(({ title }) => title.includes('mobile-app'));
  assert.ok(merged);
  bare.git('update-ref', 'refs/heads/main', bare.git('rev-parse', merged.branch));
  merged.state = 'merged';
  const after = [
    [communications, 'same', null],
    ['products@1.1.0', 'opened', null],
  ];
  assert.deepEqual(await run(), after);
  assert.equal(forge.requests.length, 3);
});
