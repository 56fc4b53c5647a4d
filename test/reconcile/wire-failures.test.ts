import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  deploy,
  filesBelow,
  filesLockedAt,
  filesServed,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import type { GitFault, GitRequestKind } from '../support/git-server.ts';
import { createServedRing } from '../support/served-ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const failures: readonly {
  readonly what: string;
  readonly fault: GitFault;
  readonly on: GitRequestKind;
}[] = [
  { what: 'a pack cut off', fault: { kind: 'cut', after: 120 }, on: 'fetch' },
  {
    what: 'a pack cut off that looks ended',
    fault: { kind: 'cut', after: 120, clean: true },
    on: 'fetch',
  },
  { what: 'a changed byte', fault: { kind: 'corrupt', at: 150 }, on: 'fetch' },
  { what: 'an error packet', fault: { kind: 'error-packet', message: 'no' }, on: 'fetch' },
  { what: 'a hanging server', fault: { kind: 'hang', after: 20 }, on: 'fetch' },
  { what: 'a 500', fault: { kind: 'status', status: 500 }, on: 'ls-refs' },
  { what: 'a 401', fault: { kind: 'status', status: 401 }, on: 'info-refs' },
  { what: 'a page instead of git', fault: { kind: 'page' }, on: 'info-refs' },
  {
    what: 'a redirect elsewhere',
    fault: { kind: 'redirect', location: 'http://127.0.0.1:1/elsewhere.git/info/refs' },
    on: 'info-refs',
  },
];

describe('reconcile against a server that fails', { concurrency: 2 }, () => {
  for (const { what, fault, on } of failures) {
    it(`keeps the last good generation through ${what}, says so, and recovers`, async (t) => {
      const { platform, server, ring } = await createServedRing(t);
      assert.equal((await reconcileOnce(ring)).code, 0);
      const served = filesServed(ring.root);
      release(platform, 'Orders', '1.0.1');
      deploy(platform, 'Orders 1.0.1');
      server.setFault(fault, { on });
      const failed = await reconcileOnce(ring, ['--idle-timeout', '500ms']);
      assert.equal(failed.code, 3, failed.stderr);
      assert.doesNotMatch(failed.stderr, /\n\s+at /, 'a stack trace was printed');
      assert.deepEqual(filesServed(ring.root), served);
      assert.notEqual(readStatusFile(ring.root).last_error, null);
      server.setFault(undefined);
      assert.equal((await reconcileOnce(ring)).code, 0);
      assert.deepEqual(filesServed(ring.root), filesLockedAt(platform, 'HEAD', 'canary'));
    });
  }

  it('takes its token from a file, again after it was rotated, and never prints it', async (t) => {
    const { platform, server, ring } = await createServedRing(t);
    const file = join(temporaryDirectory(t, 'secrets'), 'token');
    const environment = { RINGLOCK_GIT_TOKEN_FILE: file };
    let printed = '';
    for (const password of ['first-secret', 'second-secret']) {
      server.setOptions({ auth: { user: 'oauth2', password } });
      const refused = await reconcileOnce(ring, [], environment).catch(() => undefined);
      assert.notEqual(refused?.code, 0);
      writeFileSync(file, `${password}\n`);
      release(platform, 'Orders', password === 'first-secret' ? '1.0.1' : '1.0.2');
      deploy(platform, 'Orders');
      const result = await reconcileOnce(ring, [], environment);
      assert.equal(result.code, 0, result.stderr);
      printed += `${refused?.stdout}${refused?.stderr}${result.stdout}${result.stderr}`;
      printed += JSON.stringify(readStatusFile(ring.root));
    }
    assert.doesNotMatch(printed, /(first|second)-secret/);
  });

  it('keeps user information in the URL out of everything it writes', async (t) => {
    const { server, ring } = await createServedRing(t);
    server.setOptions({ auth: { user: 'deploy', password: 'word-in-url' } });
    const repo = ring.repo.replace('http://', 'http://deploy:word-in-url@');
    const good = await reconcileOnce({ ...ring, repo });
    assert.equal(good.code, 0, good.stderr);
    server.setOptions({ auth: { user: 'deploy', password: 'another' } });
    const bad = await reconcileOnce({ ...ring, repo });
    assert.equal(bad.code, 3);
    const written = `${good.stdout}${good.stderr}${bad.stdout}${bad.stderr}${JSON.stringify(readStatusFile(ring.root))}`;
    assert.doesNotMatch(written, /word-in-url/);
    assert.doesNotMatch(JSON.stringify(filesBelow(join(ring.root, 'current'))), /word-in-url/);
  });
});
