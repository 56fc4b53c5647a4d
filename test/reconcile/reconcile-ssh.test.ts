import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import {
  deploy,
  filesLockedAt,
  filesServed,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { generateKey, publicPart, sshdMissing, startSshServer } from '../support/ssh-server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a ring follows its branch over SSH, and stays where it is when the server is another', {
  skip: sshdMissing() ?? false,
}, async (t) => {
  const sshd = await startSshServer();
  onEnd(t, () => sshd.stop());
  const platform = createPlatform(t);
  const path = platform.addRemote(t);
  execFileSync('git', ['-C', path, 'config', 'uploadpack.allowFilter', 'true']);
  const ring = { repo: `${sshd.url}${path}`, root: temporaryDirectory(t, 'root') };
  const passphrase = 'correct horse';
  const keyFile = generateKey(sshd.directory, 'pod', '-t', 'ed25519', '-a', '2', '-N', passphrase);
  sshd.authorize(publicPart(keyFile));
  const passphraseFile = join(sshd.directory, 'passphrase');
  writeFileSync(passphraseFile, `${passphrase}\n`);
  const environment = {
    RINGLOCK_SSH_KEY_FILE: keyFile,
    RINGLOCK_SSH_PASSPHRASE_FILE: passphraseFile,
  };

  const noHosts = await reconcileOnce(ring, [], environment);
  assert.equal(noHosts.code, 2, noHosts.stderr);
  assert.match(noHosts.stderr, /no known_hosts file was given/);
  assert.match(noHosts.stderr, /--known-hosts FILE, or set RINGLOCK_KNOWN_HOSTS_FILE/);

  const known = ['--known-hosts', sshd.knownHostsFile];
  const first = await reconcileOnce(ring, known, environment);
  assert.equal(first.code, 0, first.stderr);
  assert.deepEqual(filesServed(ring.root), filesLockedAt(platform, 'HEAD', 'canary'));
  release(platform, 'Orders', '1.0.1');
  deploy(platform, 'Orders 1.0.1');
  const second = await reconcileOnce(ring, known, environment);
  assert.equal(second.code, 0, second.stderr);
  const served = filesServed(ring.root);
  assert.deepEqual(served, filesLockedAt(platform, 'HEAD', 'canary'));

  release(platform, 'Orders', '1.0.2');
  deploy(platform, 'Orders 1.0.2');
  const stranger = publicPart(generateKey(sshd.directory, 'stranger', '-t', 'ed25519'));
  const changed = join(sshd.directory, 'known_hosts_of_another');
  writeFileSync(changed, `[127.0.0.1]:${sshd.port} ${stranger}\n`);
  const refused = await reconcileOnce(ring, ['--known-hosts', changed], environment);
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(
    refused.stderr,
    /shows the host key ssh-ed25519 SHA256:\S+, expected ssh-ed25519 SHA256:/,
  );
  assert.equal(readStatusFile(ring.root).last_error?.code, 'host-key-changed');
  assert.deepEqual(filesServed(ring.root), served);
  for (const said of [first, second, refused]) {
    assert.doesNotMatch(`${said.stdout}${said.stderr}`, /correct horse|PRIVATE KEY|\n\s+at /);
  }
});
