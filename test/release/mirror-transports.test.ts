import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { type MirrorRequest, mirrorModules } from '../../src/release/mirror.ts';
import { createAuthority, opensslMissing } from '../support/certificates.ts';
import { serveGit } from '../support/git-server.ts';
import { mirrorPlatform, mirrorToken } from '../support/mirrors.ts';
import { createPlatform, writeLocks } from '../support/platform.ts';
import { gitEnvironment } from '../support/repository.ts';
import { sshdMissing, startSshServer } from '../support/ssh-server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const all: MirrorRequest = {
  ...{ aliases: [], all: true, changed: false, since: undefined, dryRun: false },
  ...{ branch: undefined, parallel: 4 },
};

/** A platform with one module, whose mirror is an empty repository at this base. */
async function oneMirror(t: TestContext, served: string, base: string) {
  const path = join(served, 'orders.git');
  execFileSync('git', ['init', '-q', '--bare', '-b', 'main', path], { env: gitEnvironment });
  const modules = [{ directory: 'Orders', alias: 'orders', version: '1.0.0' }];
  const platform = createPlatform(t, { rings: ['canary'], modules });
  platform.setVersion('Orders', '1.0.0', { repository: `${base}/orders.git` });
  platform.git('add', '-A');
  writeLocks(platform, platform.rings);
  platform.commit('Name the mirror');
  const repository = await findRepository(platform.path);
  return {
    platform,
    mirror: async (environment: NodeJS.ProcessEnv) =>
      (await mirrorModules(repository, all, environment))[0],
    tag: () =>
      execFileSync('git', ['rev-parse', 'v1.0.0'], {
        ...{ cwd: path, env: gitEnvironment, encoding: 'utf8' },
      }).trim(),
  };
}

test('mirrors over TLS with an authority of its own, and leaves no bundle behind', {
  skip: opensslMissing() ?? false,
}, async (t) => {
  const authority = createAuthority(t);
  const served = temporaryDirectory(t, 'mirrors');
  const server = await serveGit(t, served, {
    ...{ tls: authority.issue('IP:127.0.0.1'), config: { 'http.receivepack': 'true' } },
    auth: { user: 'oauth2', password: mirrorToken },
  });
  const { mirror, tag } = await oneMirror(t, served, server.url);
  const own = temporaryDirectory(t, 'tmp');
  const usual = process.env['TMPDIR'];
  process.env['TMPDIR'] = own;
  t.after(() => {
    if (usual === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = usual;
  });
  const untrusted = await mirror({ MIRROR_PUSH_TOKEN: mirrorToken });
  assert.equal(untrusted?.state, 'failed');
  assert.match(untrusted?.error?.message ?? '', /certificate/i);
  assert.deepEqual(server.requests, []);
  const trusting = { MIRROR_PUSH_TOKEN: mirrorToken, RINGLOCK_CA_FILE: authority.file };
  const pushed = await mirror(trusting);
  assert.equal(pushed?.state, 'pushed', pushed?.error?.message);
  assert.equal(tag(), pushed?.commit);
  assert.deepEqual(readdirSync(own), []);
});

test('mirrors over SSH, with the key that the repository is set up for', {
  skip: sshdMissing() ?? false,
}, async (t) => {
  const sshd = await startSshServer();
  t.after(() => sshd.stop());
  const served = temporaryDirectory(t, 'mirrors');
  const { platform, mirror, tag } = await oneMirror(t, served, `${sshd.url}${served}`);
  const command = (knownHosts: string) =>
    `ssh -F none -i ${sshd.keyFile} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=${knownHosts}`;
  platform.git('config', 'core.sshCommand', command('/dev/null'));
  const unknown = await mirror({ MIRROR_PUSH_TOKEN: mirrorToken });
  assert.equal(unknown?.state, 'failed');
  assert.match(unknown?.error?.message ?? '', /Host key verification failed/);
  platform.git('config', 'core.sshCommand', command(sshd.knownHostsFile));
  const pushed = await mirror({ MIRROR_PUSH_TOKEN: mirrorToken });
  assert.equal(pushed?.state, 'pushed', pushed?.error?.message);
  assert.equal(tag(), pushed?.commit);
});

test('looks at what a pipeline was started by, and at everything where that is not known', async (t) => {
  const { platform } = await mirrorPlatform(t);
  const before = platform.git('rev-parse', 'HEAD');
  platform.change('Orders');
  platform.commit('Orders');
  platform.change('Products');
  platform.commit('Products');
  const repository = await findRepository(platform.path);
  const changed = { ...all, all: false, changed: true, dryRun: true };
  const looked = async (environment: NodeJS.ProcessEnv) => {
    const given = { MIRROR_PUSH_TOKEN: mirrorToken, ...environment };
    return (await mirrorModules(repository, changed, given)).map(({ alias }) => alias);
  };
  assert.deepEqual(await looked({}), ['products']);
  assert.deepEqual(await looked({ CI_COMMIT_BEFORE_SHA: before }), ['orders', 'products']);
  // A new branch, or a scheduled pipeline.
  const zeros = { CI_COMMIT_BEFORE_SHA: '0'.repeat(40) };
  assert.deepEqual(await looked(zeros), ['orders', 'products']);
});
