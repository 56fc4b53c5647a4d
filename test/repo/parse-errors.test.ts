import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RinglockError } from '../../src/errors.ts';
import { parseLock } from '../../src/repo/lock.ts';
import { parseModuleManifest } from '../../src/repo/module-manifest.ts';
import { parsePlatformVersion } from '../../src/repo/platform.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { parseSettings } from '../../src/repo/settings.ts';
import { parseTenantsFile } from '../../src/repo/tenants.ts';

const readers = {
  module: (text: string) => parseModuleManifest(text, 'modules/Orders/module.json'),
  lock: (text: string) => parseLock(text, 'edge'),
  ring: (text: string) => parseRingFile(text, 'edge'),
  tenants: (text: string) => parseTenantsFile(text),
  settings: (text: string) => parseSettings(text),
  platform: (text: string) => parsePlatformVersion(text),
};

const digest = `sha256:${'a'.repeat(64)}`;
const lock = (modules: string, more = '') =>
  `{\n  "platform": "2.0.0",${more}\n  "modules": {\n${modules}\n  }\n}\n`;
const entry = `{"version": "1.0.0", "sha256": "${digest}"}`;
const module = (more: string) =>
  `{\n  "name": "Orders",\n  "alias": "orders",\n  "version": "1.0.0",\n${more}\n}\n`;

/** File, what is wrong, the text, and what the message says: file and line, value found, value expected. */
const bad: readonly [keyof typeof readers, string, string, RegExp][] = [
  // module.json
  [
    'module',
    'no JSON',
    '{\n  "name": "Orders"\n  "alias": 1}',
    /^modules\/Orders\/module\.json:3 is not JSON/,
  ],
  ['module', 'nothing', '', /^modules\/Orders\/module\.json.* is not JSON/],
  ['module', 'a list', '[]', /module\.json:1: the file is \[\], expected object/],
  ['module', 'no version', '{"name": "A", "alias": "a"}', /module\.json:1: version is missing/],
  [
    'module',
    'an alias in capitals',
    '{\n"name": "A",\n"alias": "Orders",\n"version": "1.0.0"}',
    /module\.json:3: alias is "Orders", expected an alias: a lower-case letter/,
  ],
  [
    'module',
    'a version with build metadata',
    '{"name": "A", "alias": "a",\n"version": "1.0.0+7"}',
    /module\.json:2: version is "1\.0\.0\+7", expected a semantic version .* without \+build/,
  ],
  [
    'module',
    'a platform that is no range',
    module('"compatibility": {\n"platform": "two"}'),
    /module\.json:6: compatibility\.platform is "two", expected a semver range/,
  ],
  [
    'module',
    'a dependency that is no range',
    module('"dependencies": {\n"products": "new"}'),
    /module\.json:6: dependencies\.products is "new", expected a semver range/,
  ],
  [
    'module',
    'a dependency called __proto__',
    module('"dependencies": {"__proto__": "^1.0.0"}'),
    /module\.json:5: dependencies\.__proto__ is not a possible name, expected an alias/,
  ],
  [
    'module',
    'a key twice',
    module('"version": "1.0.1"'),
    /module\.json:5: "version" stands there twice, expected once/,
  ],
  [
    'module',
    'migrations outside the module',
    module('"migrations": "../sql"'),
    /module\.json:5: migrations is "\.\.\/sql", expected a relative path/,
  ],
  [
    'module',
    'merge conflict markers',
    module('<<<<<<< HEAD\n"x": 1\n=======\n"x": 2\n>>>>>>> theirs'),
    /module\.json:5 is not JSON/,
  ],
  // lock
  ['lock', 'no JSON', '{', /^manifests\/edge\.lock\.json:1 is not JSON/],
  ['lock', 'no modules', '{"platform": "2.0.0"}', /edge\.lock\.json:1: modules is missing/],
  [
    'lock',
    'another ring',
    lock('', '\n  "ring": "stable",'),
    /edge\.lock\.json:3: ring is "stable", expected "edge", as the file's name says/,
  ],
  [
    'lock',
    'a short digest',
    lock('"orders": {"version": "1.0.0",\n"sha256": "sha256:abc"}'),
    /edge\.lock\.json:5: modules\.orders\.sha256 is "sha256:abc", expected .*64 lower-case/,
  ],
  [
    'lock',
    'an alias called __proto__',
    lock(`"__proto__": ${entry}`),
    /edge\.lock\.json:4: modules\.__proto__ is not a possible name, expected an alias/,
  ],
  [
    'lock',
    'a module twice',
    lock(`"orders": ${entry},\n"orders": ${entry}`),
    /edge\.lock\.json:5: "orders" stands there twice, expected once/,
  ],
  [
    'lock',
    'modules twice',
    `{"platform": "2.0.0", "modules": {},\n"modules": {}}`,
    /edge\.lock\.json:2: "modules" stands there twice/,
  ],
  [
    'lock',
    'an unknown field',
    lock('', '\n  "plattform": "2.0.0",'),
    /edge\.lock\.json:3: plattform is unknown, expected one of .*platform/,
  ],
  [
    'lock',
    'a newer format',
    '{"lock_version":2,"whatever":true}',
    /^manifests\/edge\.lock\.json has lock_version 2, this ringlock reads up to 1/,
  ],
  [
    'lock',
    'a directory outside',
    lock(`"orders": {"version": "1.0.0", "sha256": "${digest}", "directory": "../x"}`),
    /edge\.lock\.json:4: modules\.orders\.directory is "\.\.\/x", expected a relative path/,
  ],
  // ring
  ['ring', 'no YAML', 'a: b: c', /^manifests\/edge\.ring\.yaml:1 is not YAML/],
  ['ring', 'a list', '- a', /edge\.ring\.yaml:1: the file is \["a"\], expected object/],
  [
    'ring',
    'a key twice',
    'branch: main\nbranch: next\n',
    /edge\.ring\.yaml:2 is not YAML: .*unique/,
  ],
  [
    'ring',
    'itself to promote from',
    '# ours\npromotesFrom: edge',
    /edge\.ring\.yaml:2: promotesFrom is "edge", expected another ring/,
  ],
  [
    'ring',
    'both tracks and promotesFrom',
    'tracks: modules\npromotesFrom: canary',
    /edge\.ring\.yaml:1: the file is .*, expected tracks or promotesFrom, not both/,
  ],
  [
    'ring',
    'an unknown field',
    'branch: main\ntrack: modules',
    /edge\.ring\.yaml:2: track is unknown, expected one of .*tracks/,
  ],
  [
    'ring',
    'a namespace with an underscore',
    'namespace: auto_com',
    /edge\.ring\.yaml:1: namespace is "auto_com", expected a Kubernetes namespace/,
  ],
  [
    'ring',
    'a hold without reason',
    'holds:\n  orders: {version: 1.0.0}',
    /edge\.ring\.yaml:2: holds\.orders\.reason is missing/,
  ],
  [
    'ring',
    'merge conflict markers',
    'tracks: modules\n<<<<<<< HEAD\nbranch: a\n=======\nbranch: b\n>>>>>>> x\n',
    /edge\.ring\.yaml:\d is not YAML/,
  ],
  ['ring', 'two documents', 'a: 1\n---\nb: 2\n', /edge\.ring\.yaml:\d is not YAML/],
  // tenants
  [
    'tenants',
    'a tenant without ring',
    'tenants:\n  acme:\n    name: Acme\n',
    /^manifests\/tenants\.yaml:3: tenants\.acme\.ring is missing/,
  ],
  [
    'tenants',
    'a ring that is a number',
    'tenants:\n  acme:\n    ring: 7\n',
    /tenants\.yaml:3: tenants\.acme\.ring is 7, expected a ring name/,
  ],
  [
    'tenants',
    'a tenant called __proto__',
    'tenants:\n  __proto__: {ring: edge}\n',
    /tenants\.yaml:2: tenants\.__proto__ is not a possible name, expected a tenant id/,
  ],
  [
    'tenants',
    'a billion laughs',
    bomb(),
    /^manifests\/tenants\.yaml cannot be read: .*alias count/i,
  ],
  ['tenants', 'very deep nesting', `tenants: ${'['.repeat(50_000)}`, /^manifests\/tenants\.yaml/],
  ['tenants', 'an alias to nowhere', 'tenants: *there', /^manifests\/tenants\.yaml(:1)? /],
  // settings
  [
    'settings',
    'an unknown policy',
    'policy:\n  incompatible: ignore\n',
    /^manifests\/ringlock\.yaml:2: policy\.incompatible is "ignore", expected refuse or skip/,
  ],
  [
    'settings',
    'more removals than all',
    'policy: {maxRemovals: 1.5}',
    /ringlock\.yaml:1: policy\.maxRemovals is 1\.5, expected the share of modules/,
  ],
  [
    'settings',
    'a root outside',
    'roots:\n  - modules\n  - ../themes\n',
    /ringlock\.yaml:3: roots\.\[?1\]? is "\.\.\/themes", expected a relative path/,
  ],
  // VERSION
  ['platform', 'two lines', '2.0.0\n2.1.0\n', /^VERSION:1: the platform version is "2\.0\.0\\n/],
  [
    'platform',
    'a v',
    'v2.0.0\n',
    /VERSION:1: the platform version is "v2\.0\.0", expected one line/,
  ],
  ['platform', 'build metadata', '2.0.0+1\n', /VERSION:1: .*without \+build metadata/],
];

for (const [reader, what, text, message] of bad) {
  test(`${reader}: refuses ${what}, saying where and what was expected`, () => {
    assert.throws(
      () => readers[reader](text),
      (error: unknown) => {
        assert.ok(error instanceof RinglockError, String(error));
        assert.match(error.message, message);
        assert.equal(error.exitCode, 2);
        return true;
      },
    );
  });
}

test('a JSON file with conflict markers says so', () => {
  const text = '<<<<<<< HEAD\n{}\n=======\n{ }\n>>>>>>> theirs\n';
  assert.throws(() => parseLock(text, 'edge'), { hint: /conflict markers/ });
});

test('a lock of the reference system is read', () => {
  const read = parseLock(
    `{
  "$schema": "./manifest.lock.schema.json",
  "platform": "2.0.0",
  "generated_at": "2026-04-12T19:54:19+00:00",
  "modules": {
    "orders": {
      "version": "1.0.0",
      "source": "gitlab:autocommerce/modules/orders",
      "artifact": null,
      "sha256": "sha256:9ad8f12909c541c029379df6307bfd534a3e4859e6f6370618449979a314b635",
      "file_count": 405,
      "size_bytes": 1834521,
      "released_at": null
    }
  }
}`,
    'stable',
  );
  assert.equal(read.ring, 'stable');
  const orders = read.modules.get('orders');
  assert.deepEqual([orders?.tree, orders?.directory, orders?.file_count], [null, null, 405]);
});

test('an empty ring file, an empty settings file and tenants without tenants are read', () => {
  assert.equal(parseRingFile('', 'edge').ring.branch, 'main');
  assert.deepEqual(parseSettings('# nothing yet\n').roots, ['modules']);
  assert.equal(parseTenantsFile('tenants:\n').tenants.size, 0);
});

test('a module may be called constructor', () => {
  const read = parseLock(lock(`"constructor": ${entry}`), 'edge');
  assert.equal(read.modules.get('constructor')?.version, '1.0.0');
});

/** Nine levels of nine aliases: 387 million nodes. */
function bomb(): string {
  const levels = Array.from({ length: 9 }, (_, level) => {
    const items = Array(9).fill(level === 0 ? 'x' : `*l${level - 1}`);
    return `  l${level}: &l${level} [${items.join(', ')}]`;
  });
  return `tenants:\n${levels.join('\n')}\n`;
}
