import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { packageModule } from '../../src/release/package-module.ts';
import { filesServed, push, readEvents, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { type FileServer, serveFiles } from '../support/file-server.ts';
import { type GitServer, serveGit } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Arrangement {
  readonly platform: Platform;
  readonly root: string;
  readonly git: GitServer;
  readonly repo: string;
  readonly files: FileServer;
  /** `mirrors/platform/modules/orders.git` of this directory is the mirror. */
  readonly mirrors: GitServer;
  readonly text: string;
  once(environment?: NodeJS.ProcessEnv): ReturnType<typeof reconcileOnce>;
}

interface Options {
  readonly withArtifact?: boolean;
  readonly withMirror?: boolean;
  readonly annotated?: boolean;
  /** Another RINGLOCK_MODULE_PLACES than the web server. */
  readonly places?: string;
  readonly gitOptions?: Parameters<typeof serveGit>[2];
}

/**
 * A ring that pins a hotfix of Orders whose tree the git server does not have: it is in a package, in a
 * mirror, or in both.
 */
async function arrange(t: TestContext, options: Options): Promise<Arrangement> {
  const {
    withArtifact = true,
    withMirror = false,
    annotated = false,
    gitOptions,
    places,
  } = options;
  const platform = createPlatform(t);
  const bare = platform.addRemote(t);
  const text = `export const hotfix = ${JSON.stringify('x'.repeat(5000))};\n`;
  platform.git('checkout', '-q', '-b', 'orders-1.0');
  platform.write({
    'modules/Orders/bin/run.sh': '#!/bin/sh\n',
    'modules/Orders/src/index.mjs': text,
  });
  platform.setVersion('Orders', '1.0.1');
  platform.commit('Mend orders');
  const made = await packageModule(await findRepository(platform.path), 'orders@orders-1.0');
  const published = temporaryDirectory(t, 'published');
  writeFileSync(join(published, 'Orders-1.0.1.zip'), made.zip);
  const files = await serveFiles(t, published);
  const mirrors = await makeMirror(t, platform, { withMirror, annotated });
  platform.git('checkout', '-q', 'main');
  const lock = JSON.parse(platform.read('manifests/stable.lock.json'));
  const url = `${files.url}/Orders-1.0.1.zip`;
  const artifact = { url, sha256: made.sha256, size_bytes: made.zip.length };
  lock.modules.orders = {
    ...lock.modules.orders,
    ...{ version: '1.0.1', tree: made.tree, sha256: made.contentDigest },
    artifact: withArtifact ? artifact : null,
  };
  const pinned = { 'manifests/stable.lock.json': `${JSON.stringify(lock, null, 2)}\n` };
  push(platform, platform.commit('Pin the hotfix', pinned));
  const git = await serveGit(t, dirname(bare), gitOptions);
  const root = temporaryDirectory(t, 'root');
  const repo = `${git.url}/${basename(bare)}`;
  const once: Arrangement['once'] = (environment = {}) =>
    reconcileOnce({ repo, root, ring: 'stable' }, ['--idle-timeout', '2s'], {
      MODULE_REGISTRY_URL: mirrors.url,
      RINGLOCK_MODULE_PLACES: places ?? files.url,
      ...environment,
    });
  return { platform, root, git, repo, files, mirrors, text, once };
}

async function makeMirror(
  t: TestContext,
  platform: Platform,
  { withMirror, annotated }: { readonly withMirror: boolean; readonly annotated: boolean },
): Promise<GitServer> {
  const directory = temporaryDirectory(t, 'mirrors');
  const path = join(directory, 'platform/modules/orders.git');
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
  if (withMirror) {
    const split = platform.git('subtree', 'split', '-q', '--prefix', 'modules/Orders');
    const note = annotated ? ['-a', '-m', 'A release'] : [];
    platform.git('tag', ...note, 'v1.0.1', split);
    platform.git('push', '-q', '--no-verify', path, `${split}:refs/heads/main`, 'v1.0.1');
  }
  return serveGit(t, directory);
}

function assertServed({ root, text }: Arrangement): void {
  const served = filesServed(root);
  assert.equal(served['Orders/src/index.mjs'], text);
  assert.equal(served['Orders/bin/run.sh'], '#!/bin/sh\n');
  assert.equal(served['Orders/tests/index.test.mjs'], undefined);
  assert.equal(served['Products/src/index.mjs'], "export const name = 'products';\n");
  assert.deepEqual(readdirSync(join(root, 'staging')), []);
}

function orderSource(root: string): unknown {
  const event = readEvents(root).find(({ module, to }) => module === 'orders' && to === '1.0.1');
  return (event?.['detail'] as { source?: string } | undefined)?.source;
}

describe('a ring whose git server lacks what is pinned', { concurrency: 2 }, () => {
  it('installs it from the package on a web server', async (t) => {
    const ring = await arrange(t, {});
    const { code, stderr } = await ring.once();
    assert.equal(code, 0, stderr);
    assertServed(ring);
    assert.equal(orderSource(ring.root), 'artifact');
    assert.equal(ring.mirrors.requests.length, 0);
  });

  it('goes on by range when the web server dies in the middle', async (t) => {
    const ring = await arrange(t, {});
    ring.files.setFault({ kind: 'cut', after: 300 }, 1);
    const { code, stderr } = await ring.once();
    assert.equal(code, 0, stderr);
    assertServed(ring);
    assert.equal(ring.files.requests[1]?.range, 'bytes=300-');
  });

  it('installs it from its mirror, by an annotated tag or another', async (t) => {
    for (const annotated of [false, true]) {
      const ring = await arrange(t, { withArtifact: false, withMirror: true, annotated });
      const { code, stderr } = await ring.once();
      assert.equal(code, 0, stderr);
      assertServed(ring);
      assert.equal(orderSource(ring.root), 'mirror');
    }
  });

  it('takes the mirror when the web server lies, is away, or has it no more', async (t) => {
    const ring = await arrange(t, { withMirror: true });
    ring.files.setFault({ kind: 'lie', at: 200 });
    const { code, stderr } = await ring.once();
    assert.equal(code, 0, stderr);
    assertServed(ring);
    assert.equal(orderSource(ring.root), 'mirror');
    const other = await arrange(t, { withMirror: true });
    other.files.setFault({ kind: 'status', status: 404 });
    assert.equal((await other.once()).code, 0);
    assertServed(other);
  });

  it('installs nothing, keeps what serves and names every source when all of them fail', async (t) => {
    const ring = await arrange(t, {});
    ring.files.setFault({ kind: 'lie', at: 200 });
    const { code, stderr } = await ring.once();
    assert.notEqual(code, 0);
    const { last_error } = readStatusFile(ring.root);
    const message = `${last_error?.message}\n${stderr}`;
    assert.match(message, /object-store: does not have it/);
    assert.match(message, /git: does not have it/);
    assert.match(message, /artifact: the package of orders 1\.0\.1 from \S+ has the digest/);
    assert.match(message, /mirror: does not have it/);
    assert.deepEqual(readdirSync(join(ring.root, 'staging')), []);
    ring.files.setFault(undefined);
    assert.equal((await ring.once()).code, 0);
    assertServed(ring);
  });

  it('asks nothing of a server that only the lock names', async (t) => {
    const ring = await arrange(t, { withMirror: true, places: 'https://packages.example.com' });
    const { code } = await ring.once({ MODULE_REGISTRY_URL: '' });
    assert.equal(code, 1);
    const { last_error } = readStatusFile(ring.root);
    assert.equal(last_error?.code, 'no-source');
    assert.deepEqual([ring.files.requests, ring.mirrors.requests], [[], []]);
    const { code: allowed } = await ring.once({ RINGLOCK_MODULE_PLACES: `${ring.files.url}/x ` });
    assert.equal(allowed, 0);
  });

  it('refuses a package whose files are not the pinned ones, although its bytes are', async (t) => {
    const ring = await arrange(t, {});
    const { platform } = ring;
    const lock = JSON.parse(platform.read('manifests/stable.lock.json'));
    lock.modules.orders.sha256 = `sha256:${'1'.repeat(64)}`;
    push(platform, platform.commit('Lie', { 'manifests/stable.lock.json': JSON.stringify(lock) }));
    const { code } = await ring.once();
    assert.equal(code, 1);
    assert.match(readStatusFile(ring.root).last_error?.message ?? '', /artifact: .*digest/);
  });

  it('goes on with packages when git breaks off while it sends trees', async (t) => {
    const ring = await arrange(t, {});
    const { platform } = ring;
    const repository = await findRepository(platform.path);
    const directory = temporaryDirectory(t, 'all');
    const files = await serveFiles(t, directory);
    const lock = JSON.parse(platform.read('manifests/stable.lock.json'));
    for (const [alias, entry] of Object.entries<{ version: string; artifact: unknown }>(
      lock.modules,
    )) {
      const made = await packageModule(repository, `${alias}@${entry.version}`);
      writeFileSync(join(directory, `${alias}.zip`), made.zip);
      const url = `${files.url}/${alias}.zip`;
      entry.artifact = { url, sha256: made.sha256, size_bytes: made.zip.length };
    }
    const text = { 'manifests/stable.lock.json': `${JSON.stringify(lock, null, 2)}\n` };
    push(platform, platform.commit('Name packages', text));
    // Commits, the root tree and manifests/ come; the trees of modules do not.
    ring.git.setFault({ kind: 'cut', after: 60 }, { on: 'fetch', skip: 3 });
    const { code, stderr } = await ring.once({ RINGLOCK_MODULE_PLACES: files.url });
    assert.equal(code, 0, stderr);
    assertServed(ring);
    const cut = ring.git.requests.filter((request) => request.cut);
    assert.ok(cut.length > 0);
    const names = new Set(files.requests.map(({ path }) => path));
    assert.equal(names.size, Object.keys(lock.modules).length);
  });

  it('sends each token to its own server only', async (t) => {
    const ring = await arrange(t, { withMirror: true });
    ring.files.setFault({ kind: 'lie', at: 200 });
    const { code, stdout, stderr } = await ring.once({
      MODULE_REGISTRY_TOKEN: 'registry-token-123456',
      RINGLOCK_GIT_TOKEN: 'git-token-123456',
    });
    assert.equal(code, 0, stderr);
    const passwords = ({ requests }: GitServer) =>
      new Set(requests.map(({ authorization = '' }) => decoded(authorization)));
    assert.deepEqual([...passwords(ring.mirrors)], ['oauth2:registry-token-123456']);
    assert.deepEqual([...passwords(ring.git)], ['oauth2:git-token-123456']);
    assert.deepEqual(
      [...new Set(ring.files.requests.map(({ authorization }) => authorization))],
      [undefined],
    );
    assert.doesNotMatch(`${stdout}${stderr}`, /token-123456/);
  });
});

function decoded(authorization: string): string {
  return Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString();
}
