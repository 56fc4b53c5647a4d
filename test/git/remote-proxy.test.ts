import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { TransportOptions } from '../../src/git/http-transport.ts';
import { createAuthority, opensslMissing } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { errorOf } from '../support/error-of.ts';
import { freePort } from '../support/postgres.ts';
import { serveRepository } from '../support/served-repository.ts';

const host = 'git.ringlock.test';
const url = `https://${host}/platform.git`;
const user = 'pod:pass-word/1';
const withUser = (proxy: string) => proxy.replace('://', '://pod:pass-word%2F1@');

/** A server whose name only the proxy can find. */
async function serveBehindProxy(t: TestContext) {
  const authority = createAuthority(t);
  const tls = authority.issue(`DNS:${host},IP:127.0.0.1`);
  const served = await serveRepository(t, { tls });
  const tip = served.repository.commit('Start', { VERSION: '2.0.0\n' });
  served.publish();
  const names = { [`${host}:443`]: served.server.url.replace('https://', '') };
  const proxy = await startConnectProxy(t, { names, user });
  const ask = (environment: NodeJS.ProcessEnv, more: TransportOptions = {}, from = url) =>
    served.remote({ environment, caFile: authority.file, ...more }, from).resolveBranch('main');
  return { ...served, proxy, tip, ask };
}

const skip = opensslMissing() ?? false;

describe('a git server behind a proxy', { skip }, () => {
  it('is reached through HTTPS_PROXY, in either case, with its user and password', async (t) => {
    const { proxy, tip, ask } = await serveBehindProxy(t);
    const right = withUser(proxy.url);
    assert.equal(await ask({ HTTPS_PROXY: right }), tip);
    assert.deepEqual(proxy.asked, [`${host}:443`]);
    // The lower-case name goes first, and a scheme need not be given.
    const lower = { https_proxy: right.replace('http://', ''), HTTPS_PROXY: 'http://127.0.0.1:1' };
    assert.equal(await ask(lower), tip);
    // A proxy of http:// URLs says nothing of https:// ones.
    const other = await errorOf(ask({ HTTP_PROXY: right }, { idleTimeoutMs: 2_000 }));
    assert.equal(other.code, 'remote-unreachable');
    assert.equal(proxy.asked.length, 2);
  });

  it('is reached directly where NO_PROXY lists it, and always on loopback', async (t) => {
    const { proxy, url: loopback, tip, ask } = await serveBehindProxy(t);
    const right = withUser(proxy.url);
    assert.equal(await ask({ HTTPS_PROXY: right }, {}, loopback), tip);
    for (const name of ['NO_PROXY', 'no_proxy']) {
      const environment = { HTTPS_PROXY: right, [name]: 'example.com,.ringlock.test' };
      const error = await errorOf(ask(environment, { idleTimeoutMs: 2_000 }));
      assert.equal(error.code, 'remote-unreachable', error.message);
    }
    assert.deepEqual(proxy.asked, []);
    assert.equal(await ask({ HTTPS_PROXY: right, NO_PROXY: 'another.test' }), tip);
  });

  it('says in whose way the failure was, without the password', async (t) => {
    const { proxy, ask } = await serveBehindProxy(t);
    const said: string[] = [];
    const failure = async (proxyUrl: string) => {
      const error = await errorOf(ask({ HTTPS_PROXY: proxyUrl }, { idleTimeoutMs: 500 }));
      said.push(`${error.message} ${error.hint} ${error.stack}`);
      return error;
    };
    const denied = await failure(proxy.url.replace('://', '://pod:pass-wrong@'));
    assert.equal(denied.code, 'remote-proxy-refused');
    assert.equal(denied.message, `the proxy ${proxy.url} does not connect to ${url} (407)`);
    assert.match(denied.hint ?? '', /user and password in the URL of HTTPS_PROXY/);
    proxy.refuse(403);
    const refused = await failure(withUser(proxy.url));
    assert.match(refused.message, /\(403\)$/);
    assert.match(refused.hint ?? '', /NO_PROXY/);
    proxy.refuse('hang');
    assert.match((await failure(withUser(proxy.url))).code, /^remote-(timeout|unreachable)$/);
    const away = await failure(`http://pod:pass-word%2F1@127.0.0.1:${await freePort()}`);
    assert.equal(away.code, 'remote-unreachable');
    assert.match(
      away.hint ?? '',
      /asked through the proxy http:\/\/127\.0\.0\.1:\d+, unless NO_PROXY/,
    );
    const invalid = await failure('socks5://pod:pass-word%2F1@127.0.0.1:1080');
    assert.equal(invalid.code, 'invalid-proxy');
    assert.match(invalid.message, /^HTTPS_PROXY is "socks5:\/\/127\.0\.0\.1:1080", expected http:/);
    assert.doesNotMatch(said.join('\n'), /pass-w/);
  });
});
