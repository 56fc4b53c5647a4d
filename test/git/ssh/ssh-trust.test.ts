import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { errorOf } from '../../support/error-of.ts';
import { serveOverSsh } from '../../support/ssh-platform.ts';
import { generateKey, publicPart, sshdMissing } from '../../support/ssh-server.ts';

/** Options of ssh-keygen; few rounds, since this is no secret. */
const encrypted = (passphrase: string) => ['-t', 'ed25519', '-a', '2', '-N', passphrase];

test('whom SSH trusts, and with which key', { skip: sshdMissing() ?? false }, async (t) => {
  const { sshd, open, tip, file, sessions } = await serveOverSsh(t);
  t.afterEach(() => {
    sshd.authorize();
  });

  for (const type of ['ed25519', 'ecdsa', 'rsa'] as const) {
    await t.test(`finds the server by its ${type} key alone`, async () => {
      const knownHostsFile = file('known', `[127.0.0.1]:${sshd.port} ${sshd.hostKey(type)}\n`);
      assert.equal(await open({ knownHostsFile }).resolveBranch('main'), tip);
    });
  }

  await t.test(
    'says nothing of itself to a server that is unknown, changed or revoked',
    async () => {
      const name = `[127.0.0.1]:${sshd.port}`;
      const stranger = publicPart(generateKey(sshd.directory, 'stranger', '-t', 'ed25519'));
      const cases = [
        { text: '', code: 'host-key-unknown' },
        { text: `${name} ${stranger}\n`, code: 'host-key-changed' },
        {
          text: `${name} ${sshd.hostKey('ed25519')}\n@revoked * ${sshd.hostKey('ed25519')}\n`,
          code: 'host-key-revoked',
        },
      ];
      const listed = execFileSync('ssh-keygen', ['-lf', join(sshd.directory, 'ed25519.pub')]);
      const print = listed.toString().split(' ')[1] ?? '';
      const before = sessions();
      const knownHostsFile = file('known', '');
      const remote = open({ knownHostsFile });
      for (const { text, code } of cases) {
        writeFileSync(knownHostsFile, text);
        const error = await errorOf(remote.resolveBranch('main'));
        assert.equal(error.code, code, error.message);
        assert.equal(error.exitCode, 1);
        assert.ok(error.message.includes(print), error.message);
      }
      assert.deepEqual(sessions(), before);
      // The file is read again: the remote is the same.
      writeFileSync(knownHostsFile, `${name} ${sshd.hostKey('ed25519')}\n`);
      assert.equal(await remote.resolveBranch('main'), tip);
    },
  );

  await t.test('opens a key of every kind, and one with a passphrase', async () => {
    const { directory } = sshd;
    // A key of the server serves as the user's too: an RSA key takes long to make.
    for (const name of ['pem', 'pem.pub']) {
      cpSync(join(directory, name.replace('pem', 'rsa')), join(directory, name));
    }
    const pem = join(directory, 'pem');
    execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-P', '', '-N', '', '-f', pem]);
    assert.match(readFileSync(pem, 'utf8'), /^-----BEGIN RSA PRIVATE KEY-----/);
    const keys = [
      join(directory, 'rsa'),
      pem,
      join(directory, 'ecdsa'),
      generateKey(directory, 'locked', ...encrypted('open sesame')),
    ];
    for (const keyFile of keys) {
      sshd.authorize(publicPart(keyFile));
      const passphrase = async () => 'open sesame';
      assert.equal(await open({ keyFile, passphrase }).resolveBranch('main'), tip, keyFile);
    }
    // As a mounted secret may come: with the line ends of another system, and without the last one.
    const keyFile = file(
      'crlf',
      readFileSync(sshd.keyFile, 'utf8').trim().replaceAll('\n', '\r\n'),
    );
    sshd.authorize();
    assert.equal(await open({ keyFile }).resolveBranch('main'), tip);
  });

  await t.test('says what is wrong with a key, and shows nothing of it', async () => {
    const locked = generateKey(sshd.directory, 'shut', ...encrypted('sesame!'));
    const cut = file('cut', readFileSync(sshd.keyFile, 'utf8').slice(0, 200));
    const cases = [
      { keyFile: locked, code: 'ssh-passphrase-missing' },
      { keyFile: locked, passphrase: 'wrong sesame', code: 'ssh-passphrase-wrong' },
      { keyFile: `${sshd.keyFile}.pub`, code: 'ssh-key-invalid' },
      { keyFile: cut, code: 'ssh-key-invalid' },
      { keyFile: join(sshd.directory, 'absent'), code: 'ssh-file-unreadable' },
    ];
    for (const { keyFile, passphrase, code } of cases) {
      const given = { keyFile, passphrase: async () => passphrase };
      const error = await errorOf(open(given).resolveBranch('main'));
      assert.equal(error.code, code, error.message);
      assert.equal(error.exitCode, 2);
      assert.ok(error.message.includes(keyFile), error.message);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /sesame|BEGIN|b3BlbnNzaC1rZXk/);
    }
  });

  await t.test(
    'warns once of a key that everybody can read, and not of one that a group can',
    async () => {
      const warnings: string[] = [];
      const keyFile = file('wide', readFileSync(sshd.keyFile, 'utf8'));
      for (const mode of [0o440, 0o644]) {
        chmodSync(keyFile, mode);
        const remote = open({ keyFile, warn: (message) => warnings.push(message) });
        await remote.resolveBranch('main');
        await remote.close();
        await remote.resolveBranch('main');
      }
      assert.equal(warnings.length, 1, warnings.join('\n'));
      assert.match(warnings[0] ?? '', /wide can be read by anybody here \(mode 0644\)/);
    },
  );

  await t.test(
    'names the user and the key that a server refuses, and takes the key that follows',
    async () => {
      const keyFile = file('rotating', readFileSync(sshd.keyFile, 'utf8'));
      const remote = open({ keyFile });
      const next = generateKey(sshd.directory, 'next', '-t', 'ed25519');
      sshd.authorize(publicPart(next));
      const error = await errorOf(remote.resolveBranch('main'));
      assert.equal(error.code, 'remote-unauthorized');
      assert.equal(error.exitCode, 3);
      const print = execFileSync('ssh-keygen', ['-lf', `${sshd.keyFile}.pub`], {
        encoding: 'utf8',
      });
      assert.ok(error.message.includes(print.split(' ')[1] ?? '-'), error.message);
      assert.ok(error.message.includes(`user "${sshd.user}"`), error.message);
      assert.ok(error.message.includes(keyFile), error.message);
      renameSync(next, keyFile);
      assert.equal(await remote.resolveBranch('main'), tip);
    },
  );

  await t.test('refuses to go without a key, or without known hosts', async () => {
    assert.throws(() => open({ keyFile: undefined }), {
      code: 'ssh-key-not-given',
      exitCode: 2,
    });
    assert.throws(() => open({ knownHostsFile: undefined }), {
      code: 'known-hosts-not-given',
      exitCode: 2,
    });
  });
});
