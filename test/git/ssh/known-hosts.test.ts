import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { RinglockError } from '../../../src/errors.ts';
import { judgeHostKey, knownKeys, offeredAlgorithms } from '../../../src/git/ssh/host-key.ts';
import { isNamed, knownName, parseKnownHosts } from '../../../src/git/ssh/known-hosts.ts';
import { parseSshAddress } from '../../../src/git/ssh/ssh-address.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const required = process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1';
const isMissing = spawnSync('ssh-keygen', ['-?']).error !== undefined;
const skip = isMissing && !required ? 'ssh-keygen is not installed' : false;

const ed25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
const other = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBnGYe5Hd0Mq6W1n6jRIg9S0B4UqR3o7nM0s1r0VhE2N';
const keyOf = (line: string) => Buffer.from(line.split(' ')[1] ?? '', 'base64');

test('finds the lines that ssh-keygen -F finds', { skip }, (t) => {
  const file = join(temporaryDirectory(t, 'known'), 'known_hosts');
  const names = [
    'git.example.com',
    '[git.example.com]:2222',
    'GIT.example.org,192.0.2.7',
    '*.example.net,!bad.example.net',
    '[*.example.net]:2222',
    'node?.example.com',
    '!*.example.com,node2.example.com',
    '::1',
    '[::1]:2222',
  ];
  writeFileSync(file, names.map((name) => `${name} ${ed25519}\n`).join(''));
  const hashed = join(temporaryDirectory(t, 'known'), 'known_hosts');
  writeFileSync(hashed, `git.example.com ${ed25519}\n[::1]:2222 ${ed25519}\n`);
  execFileSync('ssh-keygen', ['-q', '-H', '-f', hashed], { stdio: 'ignore' });
  assert.match(readFileSync(hashed, 'utf8'), /^\|1\|/);
  const asked = [
    knownName('git.example.com', 22),
    knownName('git.example.com', 2222),
    knownName('git.example.org', 22),
    knownName('192.0.2.7', 22),
    knownName('a.example.net', 22),
    knownName('bad.example.net', 22),
    knownName('bad.example.net', 2222),
    knownName('example.net', 22),
    knownName('node1.example.com', 22),
    knownName('node2.example.com', 22),
    knownName('node22.example.com', 22),
    knownName('gitxexample.com', 22),
    knownName('::1', 22),
    knownName('::1', 2222),
  ];
  for (const path of [file, hashed]) {
    const hosts = parseKnownHosts(readFileSync(path, 'utf8'), path);
    for (const name of asked) {
      const said = spawnSync('ssh-keygen', ['-F', name, '-f', path], { encoding: 'utf8' }).stdout;
      const expected = [...said.matchAll(/found: line (\d+)/g)].map(([, line]) => Number(line));
      const found = hosts.filter((host) => isNamed(host, name)).map(({ line }) => line);
      assert.deepEqual(found, expected, `${name} in ${path}`);
    }
  }
});

function judge(text: string, shown = ed25519, url = 'ssh://git@git.example.com/x.git') {
  const file = '/etc/ringlock/known_hosts';
  return judgeHostKey(
    keyOf(shown),
    knownKeys(parseSshAddress(url), parseKnownHosts(text, file), file),
  );
}

test('takes a known key, and refuses others by name with what to compare', { skip }, (t) => {
  assert.equal(judge(`# ours\n\ngit.example.com ${ed25519} comment\r\n`), undefined);
  assert.equal(judge(`git.example.com ${other}\ngit.example.com ${ed25519}\n`), undefined);

  const file = join(temporaryDirectory(t, 'key'), 'key.pub');
  writeFileSync(file, `${ed25519}\n`);
  const listed = execFileSync('ssh-keygen', ['-lf', file], { encoding: 'utf8' });
  const print = listed.split(' ')[1] ?? '';
  const unknown = judge(`other.example.com ${ed25519}\n`);
  assert.equal(unknown?.code, 'host-key-unknown');
  assert.equal(unknown.exitCode, 1);
  assert.ok(unknown.message.includes(`ssh-ed25519 ${print}`), unknown.message);
  assert.match(unknown.message, /no line of \/etc\/ringlock\/known_hosts names git\.example\.com$/);
  assert.match(unknown.hint ?? '', /ssh-keyscan git\.example\.com prints/);

  const port = judge(
    `git.example.com ${ed25519}\n`,
    ed25519,
    'ssh://git@git.example.com:2222/x.git',
  );
  assert.match(port?.message ?? '', /names \[git\.example\.com\]:2222$/);
  assert.match(port?.hint ?? '', /ssh-keyscan -p 2222 git\.example\.com/);

  const changed = judge(`git.example.com ${other}\n`);
  assert.equal(changed?.code, 'host-key-changed');
  assert.equal(changed.exitCode, 1);
  assert.ok(
    changed.message.includes(`shows the host key ssh-ed25519 ${print}, expected ssh-ed25519`),
  );
  assert.match(changed.message, /\(line 1 of \/etc\/ringlock\/known_hosts\)$/);
});

test('a revoked key is refused, whatever else names it', () => {
  const revoked = judge(`git.example.com ${ed25519}\n@revoked * ${ed25519}\n`);
  assert.equal(revoked?.code, 'host-key-revoked');
  assert.match(revoked.message, /which line 2 of/);
  assert.equal(judge(`@revoked * ${other}\ngit.example.com ${ed25519}\n`), undefined);
});

test('a certificate authority is said not to be supported, and vouches for nothing', () => {
  const authority = judge(`@cert-authority *.example.com ${ed25519}\n`);
  assert.equal(authority?.code, 'host-key-unknown');
  assert.match(authority.message, /certificate authority \(line 1 of .*\), which is not supported/);
});

test('a line that cannot be read is named, since it may be a revocation', () => {
  const broken = [
    'git.example.com',
    `@trusted git.example.com ${ed25519}`,
    'git.example.com ssh-ed25519 not*base64',
    `git.example.com ssh-rsa ${ed25519.split(' ')[1]}`,
    `|2|abc|def ${ed25519}`,
  ];
  for (const line of broken) {
    assert.throws(
      () => parseKnownHosts(`# one\n${line}\n`, '/etc/known_hosts'),
      (error: unknown) =>
        error instanceof RinglockError &&
        error.code === 'known-hosts-invalid' &&
        error.exitCode === 2 &&
        /^line 2 of \/etc\/known_hosts /.test(error.message),
      line,
    );
  }
});

/** Enough of a key to be one of its type. */
function keyOfType(type: string): string {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return `${type} ${Buffer.concat([length, Buffer.from(type)]).toString('base64')}`;
}

test('asks a server for the type of key that is known, and never for SHA-1', () => {
  const address = parseSshAddress('ssh://git@git.example.com/x.git');
  const offered = (line: string): string[] =>
    offeredAlgorithms(knownKeys(address, parseKnownHosts(line, 'known_hosts'), 'known_hosts'));
  const rsa = `git.example.com ${keyOfType('ssh-rsa')}`;
  const ecdsa = `git.example.com ${keyOfType('ecdsa-sha2-nistp384')}`;
  assert.deepEqual(offered(rsa).slice(0, 2), ['rsa-sha2-512', 'rsa-sha2-256']);
  assert.equal(offered(ecdsa)[0], 'ecdsa-sha2-nistp384');
  assert.equal(offered(`@revoked ${ecdsa}`)[0], 'ssh-ed25519');
  assert.equal(offered(`git.example.com ${keyOfType('ssh-of-tomorrow')}`).length, 6);
  assert.ok(!offered(rsa).includes('ssh-rsa'));
});
