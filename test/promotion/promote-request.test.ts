import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { requestPromotion } from '../../src/promotion/request-promotion.ts';
import { requestedExitCode, requestTrain } from '../../src/promotion/request-train.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { runCli } from '../support/cli.ts';
import { serveGit } from '../support/git-server.ts';
import { recordGit } from '../support/mirrors.ts';
import {
  cloneOf,
  createPlatform,
  type ModuleFixture,
  type Platform,
  writeLocks,
} from '../support/platform.ts';
import { gitEnvironment, openRepository } from '../support/repository.ts';
import { requestToken, serveRequests } from '../support/request-forges.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { sourcesOf } from './gated-platform.ts';

const branch = 'ringlock/promote/canary/edge/orders';
const file = 'manifests/edge.lock.json';
const module = (directory: string): ModuleFixture => ({
  ...{ directory, alias: directory.toLowerCase(), version: '1.0.0' },
});

/** Commits what was changed as a version that canary follows and edge does not. */
function release(platform: Platform, to: string, files: Record<string, string> = {}): void {
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit('Released', files);
  platform.git('push', '-q', to, 'main');
}

/** The platform in a bare repository, whose server lets in who has the token. */
async function createWorld(t: TestContext) {
  const served = temporaryDirectory(t, 'served');
  const path = join(served, 'platform.git');
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
  const server = await serveGit(t, served, {
    auth: { user: 'oauth2', password: requestToken },
    config: { 'http.receivepack': 'true' },
  });
  const forge = await serveRequests(t, 'gitlab', path);
  const platform = createPlatform(t, { rings: ['edge', 'canary'], modules: [module('Orders')] });
  platform.commit('Where requests are opened', {
    'manifests/ringlock.yaml': `mergeRequests: {kind: gitlab, url: "${forge.url}", project: acme/platform}\n`,
  });
  platform.git('push', '-q', path, 'main');
  const clone = cloneOf(t, path);
  // What a pipeline's clone has in its remote goes nowhere.
  const url = server.url.replace('://', '://ci:old-password-0123@');
  clone.git('remote', 'set-url', 'origin', `${url}/platform.git`);
  const { log, environment } = recordGit(t);
  const shown: string[] = [];
  const run = async (...more: string[]) => {
    const args = ['ring', 'promote', 'orders', '--from', 'canary', '--to', 'edge'];
    const variables = { RINGLOCK_REQUEST_TOKEN: requestToken, ...environment };
    const done = await runCli(clone.path, [...args, '--merge-request', ...more], variables);
    shown.push(done.stdout, done.stderr);
    return done;
  };
  const publish = (version: string) => {
    platform.change('Orders');
    platform.setVersion('Orders', version);
    release(platform, path);
  };
  const everything = () => `${shown.join('')}${readFileSync(log, 'utf8')}`;
  return { clone, bare: openRepository(path), forge, run, publish, everything };
}

test('a promotion is asked for on the tip of a protected branch, with what it brings', async (t) => {
  const { clone, bare, forge, run, publish, everything } = await createWorld(t);
  publish('1.1.0');
  // The clone is behind, and somebody is at work in it.
  clone.write({ 'modules/Orders/module.json': 'half a file', [file]: '{' });
  clone.git('add', '-A');
  const status = clone.git('status', '--porcelain');
  const opened = await run('--reason', 'asked for @all');
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(
    opened.stdout,
    /^manifests\/edge\.lock\.json of main: orders 1\.1\.0 \(was 1\.0\.0\), not merged$/m,
  );
  assert.match(opened.stdout, /^opened !1 https:\/\/gitlab\.example\.com\//m);
  const [request] = forge.requests;
  assert.ok(request);
  assert.equal(request.title, 'Promote orders 1.1.0 from canary to edge');
  const start =
    'Reason: `asked for @all`\n\n### `canary` → `edge`\n\n#### `orders` `1.0.0` → `1.1.0`';
  assert.ok(request.text.startsWith(start), request.text);
  assert.match(request.text, /^- changed `src\/index\.mjs` \(\d+ → \d+ bytes\)$/m);
  assert.equal(bare.git('diff', '--name-only', 'main', branch), file);
  const lock = (ref: string, ring: string) =>
    JSON.parse(bare.git('show', `${ref}:manifests/${ring}.lock.json`)).modules.orders;
  assert.deepEqual(lock(branch, 'edge'), lock('main', 'canary'));
  assert.equal(clone.git('status', '--porcelain'), status);

  publish('1.2.0');
  const newer = await run('--json');
  const answer = JSON.parse(newer.stdout);
  assert.deepEqual(
    [answer.request.state, answer.request.reference, answer.written, answer.next],
    ['updated', '!1', false, null],
  );
  assert.equal(answer.request.commit, bare.git('rev-parse', branch));
  assert.equal(lock(branch, 'edge').version, '1.2.0');

  const header = Buffer.from(`oauth2:${requestToken}`).toString('base64');
  for (const secret of [requestToken, 'old-password-0123', header]) {
    assert.ok(!everything().includes(secret), 'in what was shown, and in arguments of git');
  }
  assert.match(everything(), /^push .*--force-with-lease=refs\/heads\/ringlock/m);
});

test('what has passed its gates is asked for by itself, one request a module', async (t) => {
  const modules = ['Alpha', 'Beta', 'Gamma'].map(module);
  const platform = createPlatform(t, { rings: ['edge', 'canary'], modules });
  const bare = openRepository(platform.addRemote(t));
  const forge = await serveRequests(t, 'github', bare.path);
  platform.setVersion('Alpha', '1.1.0');
  platform.setVersion('Beta', '1.1.0');
  platform.setVersion('Gamma', '1.1.0', { dependencies: { beta: '^1.1.0' } });
  release(platform, 'origin', {
    'manifests/ringlock.yaml': `mergeRequests: {kind: github, url: "${forge.url}", project: acme/platform}\n`,
  });
  const repository = await findRepository(platform.path);
  const environment = {
    ...{ RINGLOCK_REQUEST_TOKEN: requestToken, RINGLOCK_REQUEST_URL: forge.url },
  };
  const train = await requestTrain(
    repository,
    { from: undefined, to: undefined, openPackages, sources: () => sourcesOf({ environment }) },
    { remote: 'origin', again: false, dryRun: false },
    new AbortController().signal,
  );
  assert.equal(requestedExitCode(train), 0);
  assert.deepEqual(
    train.units.map(({ modules: [first], requested, refusal }) => [
      ...[first, requested?.outcome.state ?? refusal?.code],
    ]),
    [
      ['alpha@1.1.0', 'opened'],
      ['beta@1.1.0', 'opened'],
      // It runs on top of Beta, which is not merged yet.
      ['gamma@1.1.0', 'incompatible-lock'],
    ],
  );
  const merged = forge.requests.find(({ title }) => title.includes('beta'));
  assert.ok(merged);
  bare.git('update-ref', 'refs/heads/main', bare.git('rev-parse', merged.branch));
  merged.state = 'merged';
  const auto = ['ring', 'promote', '--auto', '--merge-request'];
  const shown = await runCli(platform.path, auto, environment);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^canary → edge: alpha@1\.1\.0: open already, and the same: #1 /m);
  assert.match(shown.stdout, /^canary → edge: gamma@1\.1\.0: opened #3 /m);

  // A pipeline's clone does not have what the target runs so far.
  const shallow = temporaryDirectory(t, 'shallow');
  const from = ['clone', '-q', '--depth=1', `file://${bare.path}`, shallow];
  execFileSync('git', from, { env: gitEnvironment });
  const { outcome } = await requestPromotion(
    await findRepository(shallow),
    {
      ...{ from: 'canary', to: 'edge', modules: undefined, reason: undefined, override: undefined },
      ...{ withDependencies: false, allowDowngrade: false, movePlatform: false },
    },
    sourcesOf({ environment }),
    openPackages,
    { remote: 'origin', again: false, dryRun: false },
    new AbortController().signal,
  );
  assert.deepEqual(
    [outcome.state, outcome.branch],
    ['opened', 'ringlock/promote/canary/edge/_all'],
  );
  const all = forge.requests.at(-1)?.text ?? '';
  assert.match(
    all,
    /- `alpha` `1\.0\.0` → `1\.1\.0`\n- `gamma` `1\.0\.0` → `1\.1\.0`\n\nWhat changes/,
  );
});
