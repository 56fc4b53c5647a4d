import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe, it } from 'node:test';
import fc from 'fast-check';
import { registerEnvironment } from '../src/environment.ts';
import { RinglockError } from '../src/errors.ts';
import { redact, redactLine, redactUrl, redactValues, registerSecret } from '../src/redaction.ts';
import { temporaryDirectory } from './support/temporary.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('a secret that the process has read', () => {
  it('is hidden as it stands, percent-encoded, in base64 at any place, and in JSON', () => {
    const secret = 'a+b/c "d"\\.*[x](y)?é$&';
    registerSecret(secret);
    const forms = [
      secret,
      encodeURIComponent(secret),
      encodeURIComponent(secret).toLowerCase().replace('%c3%a9', '%c3%a9'),
      new URLSearchParams({ q: secret }).toString(),
      JSON.stringify({ said: secret }),
      base64(secret),
      Buffer.from(secret).toString('base64url'),
      ...['', 'u', 'us', 'usr', 'oauth2'].map((user) => base64(`${user}:${secret}`)),
      base64(`{"token":"${secret}"}`),
      `<b>${secret.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}</b>`,
    ];
    for (const form of forms) {
      const shown = redact(`it said ${form} to us`);
      assert.match(shown, /^it said .*\*\*\*.* to us$/, form);
      assert.doesNotMatch(shown, /\(y\)|%5Bx%5D|a\+b|a%2Bb/i, form);
    }
    // What is left around it in base64 is what else was encoded.
    assert.equal(redact(base64(`oauth2:${secret}`)).slice(0, 9), 'b2F1dGgyO');
  });

  it('never comes through, whatever it is made of and wherever it stands', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 8, maxLength: 40 }),
        fc.string({ maxLength: 20 }),
        fc.string({ maxLength: 20 }),
        (given, before, after) => {
          const secret = given.trim();
          fc.pre(secret.length >= 8 && !secret.includes('*') && !/\p{Surrogate}/u.test(secret));
          fc.pre(!/[\r\n]/.test(secret) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(secret));
          registerSecret(secret);
          assert.ok(!redact(`${before} ${secret} ${after}`).includes(secret));
          assert.ok(!redact(encodeURIComponent(secret)).includes(encodeURIComponent(secret)));
          const inside = Buffer.from(`${before}${secret}${after}`).toString('base64');
          const shown = Buffer.from(redact(inside).replaceAll('***', ''), 'base64');
          assert.ok(!shown.toString().includes(secret));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is hidden where it stands alone when it is short, and blackens no other word', () => {
    registerSecret('pw1');
    assert.equal(redact('login as app:pw1@db, not spw12'), 'login as app:***@db, not spw12');
    assert.equal(redact(`header ${base64('pw1')}`), 'header ***');
    registerSecret('');
    registerSecret(undefined);
    assert.equal(redact('plain'), 'plain');
  });

  it('stays hidden after it was rotated, and line by line when it is a key', () => {
    registerSecret('token-of-monday');
    registerSecret('token-of-tuesday');
    registerSecret(
      '-----BEGIN KEY-----\nfirstLineOfTheKey\nsecondLineOfTheKey\n-----END KEY-----\n',
    );
    assert.equal(redact('token-of-monday, token-of-tuesday'), '***, ***');
    assert.equal(redact('line 2 is secondLineOfTheKey'), 'line 2 is ***');
  });

  it('is what a URL carries: its password, a token in the place of a user, named parameters', () => {
    registerSecret('postgres://app:p%40ss-word@db.example.com/orders');
    registerSecret('https://glpat-0123456789abcdef@git.example.com/x.git');
    registerSecret('https://app.example.com/reload?ring=canary&hook_token=open-sesame');
    assert.equal(redact('p%40ss-word p@ss-word app orders'), '*** *** app orders');
    assert.equal(redact('glpat-0123456789abcdef at git.example.com'), '*** at git.example.com');
    assert.equal(redact('open-sesame for canary'), '*** for canary');
  });

  it('is what an environment holds by name, in a URL, or in a file', async (t) => {
    const file = join(temporaryDirectory(t, 'secrets'), 'second');
    writeFileSync(file, 'file-word\n');
    await registerEnvironment({
      RINGLOCK_GIT_TOKEN_2_FILE: file,
      DATABASE_URL_FILE: '/nowhere',
      MIRROR_PUSH_TOKEN: 'mirror-word',
      PGPASSWORD: 'pg-word',
      RINGLOCK_GIT_TOKEN_FILE: '/run/secrets/token',
      ALL_PROXY: 'http://me:proxy-word@proxy.example.com:3128',
      HOME: '/home/app',
    });
    assert.equal(
      redact('file-word mirror-word pg-word /run/secrets/token proxy-word /home/app'),
      '*** *** *** /run/secrets/token *** /home/app',
    );
  });

  it('is in no error, whoever made it', () => {
    registerSecret('word-in-error');
    const error = new RinglockError('x', 3, 'word-in-error failed', {
      hint: 'not word-in-error',
      details: { asked: ['word-in-error', 3, null], at: { url: 'https://u:p@h/' } },
    });
    assert.equal(error.message, '*** failed');
    assert.equal(error.hint, 'not ***');
    assert.deepEqual(error.details, { asked: ['***', 3, null], at: { url: 'https://***@h/' } });
    assert.doesNotMatch(String(error.stack), /word-in-error/);
  });
});

test('credentials that nobody registered are hidden where their place tells them', () => {
  assert.equal(
    redact('see https://u:p@h/x?private_token=abc&ring=edge'),
    'see https://***@h/x?private_token=***&ring=edge',
  );
  assert.equal(redact('Authorization: Basic dXNlcjpwYXNz, more'), 'Authorization: Basic ***, more');
  assert.equal(redact('{"PRIVATE-TOKEN":"abcdef","a":1}'), '{"PRIVATE-TOKEN":"***","a":1}');
  assert.equal(redact('sent Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc'), 'sent Bearer ***');
  for (const text of [
    'Basic authentication is off',
    'authorization failed',
    'a@b.example: hello',
  ]) {
    assert.equal(redact(text), text);
  }
});

test('a value is redacted at any depth, the names of its properties stay', () => {
  const at = new Date(0);
  assert.deepEqual(
    redactValues({ list: ['https://u:p@h', 1, { deep: 'http://x:y@z' }], at, no: null }),
    {
      list: ['https://***@h', 1, { deep: 'http://***@z' }],
      at,
      no: null,
    },
  );
});

test('a text from elsewhere is one line, harmless in a terminal, and cut', () => {
  assert.equal(redactLine('a\n\x1b[31mb\r\n'), 'a [31mb');
  assert.equal(redactLine('x'.repeat(400)).length, 300);
});

test('a URL is shown without what may be secret in it', () => {
  assert.equal(
    redactUrl('https://u:p@git.example.com/x.git/?token=1#2'),
    'https://git.example.com/x.git',
  );
  assert.equal(redactUrl('me@git.example.com:x.git'), 'git.example.com:x.git');
});
