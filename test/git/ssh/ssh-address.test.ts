import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test from 'node:test';
import { RinglockError } from '../../../src/errors.ts';
import { parseSshAddress, uploadPackCommand } from '../../../src/git/ssh/ssh-address.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const addresses: readonly (readonly [string, string])[] = [
  ['ssh://git@git.example.com/group/platform.git', 'git git.example.com 22 /group/platform.git'],
  ['ssh://git@Git.Example.com:2222/x.git', 'git git.example.com 2222 /x.git'],
  ['SSH://git@[::1]:2222/x.git', 'git ::1 2222 /x.git'],
  ['ssh://git@host/~ada/x.git', 'git host 22 ~ada/x.git'],
  ['ssh://git@host/with%20space/%27quoted%27.git', "git host 22 /with space/'quoted'.git"],
  ['ssh://git@host/a/../x.git?b#c', 'git host 22 /a/../x.git?b#c'],
  ['git@git.example.com:group/platform.git', 'git git.example.com 22 group/platform.git'],
  ['git@host:/srv/with space.git', 'git host 22 /srv/with space.git'],
  ['git@[2001:db8::1]:x.git', 'git 2001:db8::1 22 x.git'],
  ['git@host:~ada/%20.git', 'git host 22 ~ada/%20.git'],
];

test('reads both spellings of an address as git does', () => {
  for (const [text, expected] of addresses) {
    const { user, host, port, path, display } = parseSshAddress(text);
    assert.equal(`${user} ${host} ${port} ${path}`, expected);
    assert.doesNotMatch(display, /git@/, 'a user may be a token, and is not shown');
  }
});

const refusals: readonly (readonly [string, RegExp])[] = [
  ['ssh://git.example.com/x.git', /does not say whose account/],
  ['ssh://git:secret@git.example.com/x.git', /has a password/],
  ['ssh://git@git.example.com/', /has no path/],
  ['ssh://git@git.example.com', /has no path/],
  ['git@git.example.com:', /has no path/],
  ['ssh://git@/x.git', /is no address/],
  ['ssh://git@-oProxyCommand=id/x.git', /host that starts with a dash/],
  ['ssh://-oProxyCommand=id@host/x.git', /user that starts with a dash/],
  ['git@host:--upload-pack=id', /path that starts with a dash/],
  ['git@host:x.git\ntouch /tmp/pwned', /control character in its path/],
  ['ssh://git@host/x.git\ntouch', /is no address/],
  ['ssh://git@host/x%0atouch', /control character in its path/],
  ['ssh://gi%0at@host/x.git', /control character in its user/],
  ['ssh://git@host/%zz', /is no address/],
  ['ssh://git@ho%20st/x.git', /no address|impossible host/],
  ['git@ho$(id)st:x.git', /impossible host/],
  ['ssh://git@host:99999/x.git', /is no address/],
];

test('refuses an address that could mean something else, and never shows a password', () => {
  for (const [text, message] of refusals) {
    assert.throws(
      () => parseSshAddress(text),
      (error: unknown) => {
        assert.ok(error instanceof RinglockError, String(error));
        assert.equal(error.code, 'unsupported-url', text);
        assert.equal(error.exitCode, 2);
        assert.match(error.message, message, text);
        assert.doesNotMatch(`${error.message}${error.hint}`, /secret/);
        return true;
      },
    );
  }
});

test('a real shell hands every path over as one argument', (t) => {
  const directory = temporaryDirectory(t, 'bin');
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'git-upload-pack'), '#!/bin/sh\nprintf "%s|" "$#" "$@"\n', {
    mode: 0o755,
  });
  const env = { PATH: `${bin}${delimiter}${process.env['PATH']}` };
  const paths = [
    "/it's",
    '/a b',
    '/$(id)',
    '/`id`',
    '/a;id',
    '/wow!',
    "/'; id; '",
    '/a"b\\c',
    '/ü&|<>*?',
  ];
  for (const path of paths) {
    const command = uploadPackCommand(path);
    assert.equal(execFileSync('sh', ['-c', command], { env, encoding: 'utf8' }), `1|${path}|`);
  }
});
