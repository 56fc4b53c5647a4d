import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { distributedFiles } from '../../src/digest/module-files.ts';
import { RinglockError } from '../../src/errors.ts';
import { parseByteSize } from '../../src/repo/byte-size.ts';
import { parseLock } from '../../src/repo/lock.ts';
import { parseModuleManifest } from '../../src/repo/module-manifest.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { parseSettings } from '../../src/repo/settings.ts';
import { parseTenantsFile } from '../../src/repo/tenants.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const goodLock = JSON.stringify(
  {
    lock_version: 1,
    ring: 'edge',
    platform: '2.0.0',
    modules: { orders: { version: '1.0.0', directory: 'Orders', sha256: digest, size_bytes: 9 } },
  },
  null,
  1,
);
const goodYaml = 'tenants:\n  acme: &a\n    ring: edge\n    modules: [orders, "x"]\n  b: *a\n';

/** A text with pieces of it, or of what has a meaning, put elsewhere in it. */
function changed(text: string) {
  const words = [
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '&a ',
    '*a',
    '!!js/function ',
    '<<',
    '- ',
    '? ',
  ];
  const more = ['\n', '\\u0000', '__proto__', '1e999', '-1', 'null', '\ufeff', '%YAML 1.1\n---\n'];
  const edit = fc.record({
    at: fc.nat(text.length),
    cut: fc.nat(6),
    put: fc.oneof(fc.constantFrom(...words, ...more), fc.string({ maxLength: 4 })),
  });
  return fc
    .array(edit, { minLength: 1, maxLength: 5 })
    .map((edits) =>
      edits.reduce((all, { at, cut, put }) => all.slice(0, at) + put + all.slice(at + cut), text),
    );
}

function onlyRinglockErrors(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof RinglockError, (error as Error).stack);
  }
}

test('a lock, however it is changed, is read or refused in words', () => {
  fc.assert(
    fc.property(changed(goodLock), (text) => {
      onlyRinglockErrors(() => parseLock(text, 'edge'));
      onlyRinglockErrors(() => parseModuleManifest(text, 'module.json'));
    }),
    { numRuns: 400 },
  );
});

test('a YAML file, however it is changed, is read or refused in words', () => {
  fc.assert(
    fc.property(changed(goodYaml), (text) => {
      onlyRinglockErrors(() => parseTenantsFile(text));
      onlyRinglockErrors(() => parseRingFile(text, 'edge'));
      onlyRinglockErrors(() => parseSettings(text));
    }),
    { numRuns: 300 },
  );
});

test('1 and "1" are one key', () => {
  assert.throws(() => parseTenantsFile('tenants:\n  1: {ring: edge}\n  "1": {ring: edge}\n'), {
    message: /tenants\.yaml:3 is not YAML: Map keys must be unique/,
  });
});

for (const exclude of [
  ['*a*a*a*a*a*a*a*a*a*a*b'],
  ['+(+(+(a|aa)))b'],
  ['{a,aa}{a,aa}'.repeat(12)],
]) {
  test(`the glob ${exclude[0]?.slice(0, 20)} ends in time`, () => {
    const manifest = { distribution: { include: [], exclude }, changelog: 'CHANGELOG.md' };
    const files = Array.from({ length: 500 }, (_, index) => ({
      path: `${'a'.repeat(180)}${index}`,
      mode: '100644',
    }));
    onlyRinglockErrors(() => distributedFiles(manifest, files, 'modules/Evil', 1000, 200));
  });
}

test('globs that take too long are refused, and the next ones work again', () => {
  const files = [{ path: 'a'.repeat(250), mode: '100644' }];
  const manifest = (exclude: string[]) => ({
    distribution: { include: [], exclude },
    changelog: 'CHANGELOG.md',
  });
  assert.throws(
    () => distributedFiles(manifest(['*a*a*a*a*a*a*a*a*a*b']), files, 'modules/Evil', 10, 100),
    {
      code: 'invalid-file',
      message: /^modules\/Evil\/module\.json: distribution has globs that take longer than 100 ms/,
    },
  );
  assert.deepEqual(distributedFiles(manifest(['b*']), files, 'modules/Good', 10), files);
});

test('sizes are written with a unit', () => {
  assert.equal(parseByteSize('64MiB', '--max-file'), 67_108_864);
  for (const text of ['64', '0MiB', '64MB', '-1GiB', '1.5GiB', '9999999TiB']) {
    assert.throws(() => parseByteSize(text, '--max-file'), { code: 'invalid-size', exitCode: 2 });
  }
});
