import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { TransportOptions } from '../../src/git/http-transport.ts';
import { createAuthority, opensslMissing } from '../support/certificates.ts';
import { errorOf } from '../support/error-of.ts';
import { serveRepository } from '../support/served-repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const names = 'DNS:localhost,IP:127.0.0.1';

async function serveOverTls(t: TestContext, certificateNames = names, days = 1) {
  const authority = createAuthority(t);
  const tls = authority.issue(certificateNames, days);
  const served = await serveRepository(t, { tls });
  const tip = served.repository.commit('Start', { VERSION: '2.0.0\n' });
  served.publish();
  const ask = (options: TransportOptions) =>
    served.remote({ environment: {}, ...options }).resolveBranch('main');
  return { ...served, authority, tip, ask };
}

const skip = opensslMissing() ?? false;

describe('a git server whose certificate is of an authority of its own', { skip }, () => {
  it('is trusted with --ca-file, read again when it changes, and not without', async (t) => {
    const { authority, tip, ask, remote } = await serveOverTls(t);
    const unknown = await errorOf(ask({}));
    assert.equal(unknown.code, 'remote-untrusted');
    assert.match(unknown.message, /an authority that is not known here \(UNABLE_TO_VERIFY_LEAF/);
    assert.match(unknown.hint ?? '', /--ca-file/);
    assert.equal(await ask({ caFile: authority.file }), tip);

    // One remote for as long as a watch lives: the file is replaced below it.
    const caFile = join(temporaryDirectory(t, 'mount'), 'ca.pem');
    copyFileSync(createAuthority(t, 'Another').file, caFile);
    const watching = remote({ environment: {}, caFile });
    assert.equal((await errorOf(watching.resolveBranch('main'))).code, 'remote-untrusted');
    writeFileSync(
      caFile,
      `${readFileSync(caFile, 'utf8')}\n# ours\n${readFileSync(authority.file, 'utf8')}`,
    );
    assert.equal(await watching.resolveBranch('main'), tip);
    copyFileSync(createAuthority(t, 'Another').file, caFile);
    assert.equal((await errorOf(watching.resolveBranch('main'))).code, 'remote-untrusted');
    rmSync(caFile);
    assert.equal((await errorOf(watching.resolveBranch('main'))).code, 'ca-file-unreadable');
    for (const [text, what] of [
      ['-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n', /has no certificate/],
      ['-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n', /certificate, number 1/],
    ] as const) {
      writeFileSync(caFile, text);
      const invalid = await errorOf(watching.resolveBranch('main'));
      assert.equal(invalid.code, 'ca-file-invalid');
      assert.match(invalid.message, what);
    }
  });

  it('is refused by another name, both named', async (t) => {
    const { authority, ask } = await serveOverTls(t, 'DNS:git.example.com');
    const error = await errorOf(ask({ caFile: authority.file }));
    assert.equal(error.code, 'remote-untrusted');
    assert.match(error.message, /a certificate for git\.example\.com, not for 127\.0\.0\.1$/);
    assert.match(error.hint ?? '', /issued for the name in the URL/);
  });

  it('is refused when the certificate has expired', async (t) => {
    const { authority, ask } = await serveOverTls(t, names, -1);
    const error = await errorOf(ask({ caFile: authority.file }));
    assert.equal(error.code, 'remote-untrusted');
    assert.match(error.message, /has expired$/);
    assert.match(error.hint ?? '', /clock/);
  });
});
