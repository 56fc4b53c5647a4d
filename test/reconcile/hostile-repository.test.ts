import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { contentDigest } from '../../src/digest/content-digest.ts';
import { openReconciler } from '../../src/reconcile/open-reconciler.ts';
import { defaultLimits } from '../../src/repo/limits.ts';
import { filesServed } from '../support/deploy.ts';
import {
  type HandMadeEntry,
  HandMadeRepository,
  serveHandMade,
} from '../support/hand-made-repository.ts';
import { defaultOptions } from '../support/reconcile-options.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { moduleJson } from '../support/two-modules.ts';

const mebibyte = 1024 * 1024;
/** Small ones, so that what is over them is quick to make. */
const limits = {
  ...defaultLimits,
  fetch: 4 * mebibyte,
  file: mebibyte,
  module: 3 * mebibyte,
  install: 4 * mebibyte,
};

const repository = new HandMadeRepository();
const anyDigest = `sha256:${'0'.repeat(64)}`;
const someBlob = repository.blob('some\n');

interface Pin {
  readonly tree: string;
  readonly version?: string;
  readonly sha256?: string;
  readonly directory?: string;
}

/** A platform's top tree; what is not given is as it should be. */
function platform(parts: {
  readonly pins?: Readonly<Record<string, Pin>>;
  readonly lock?: string | Uint8Array;
  readonly ring?: string | Uint8Array;
  readonly manifests?: readonly HandMadeEntry[];
  readonly top?: readonly HandMadeEntry[];
}): string {
  const entries = Object.entries(parts.pins ?? {}).map(([alias, pin]) => [
    alias,
    { version: '2.0.0', directory: `M-${alias}`, sha256: anyDigest, ...pin },
  ]);
  const lock = { platform: '2.0.0', modules: Object.fromEntries([['orders', good], ...entries]) };
  const named = new Map<string, HandMadeEntry>();
  for (const entry of [
    file('canary.ring.yaml', parts.ring ?? 'tracks: modules\n'),
    file('canary.lock.json', parts.lock ?? JSON.stringify(lock)),
    ...(parts.manifests ?? []),
  ]) {
    named.set(String(entry.name), entry);
  }
  const manifests = folder('manifests', repository.tree([...named.values()]));
  return repository.tree([file('VERSION', '2.0.0\n'), ...(parts.top ?? [manifests])]);
}

function file(name: string | Uint8Array, content: string | Uint8Array): HandMadeEntry {
  return { name, oid: repository.blob(content) };
}

function folder(name: string | Uint8Array, oid: string): HandMadeEntry {
  return { mode: '40000', name, oid };
}

/** A module `evil` 2.0.0 with these entries besides its module.json. */
function evil(entries: readonly HandMadeEntry[], more: object = {}): string {
  const manifest = file('module.json', moduleJson('evil', '2.0.0', { ...more }));
  return platform({ pins: { evil: { tree: repository.tree([manifest, ...entries]) } } });
}

const goodFiles = { 'module.json': moduleJson('orders'), 'src/orders.js': 'orders\n' };
const good = {
  version: '1.0.0',
  directory: 'Orders',
  tree: repository.files(goodFiles),
  sha256: contentDigest(
    Object.entries(goodFiles).map(([path, text]) => ({
      path,
      sha256: createHash('sha256').update(text).digest('hex'),
    })),
  ),
};

/** `levels` folders inside each other, each with so many names for the next. */
function bomb(levels: number, names: number, innermost: string): string {
  let tree = innermost;
  for (let level = 0; level < levels; level++) {
    const below = tree;
    tree = repository.tree(Array.from({ length: names }, (_, index) => folder(`${index}`, below)));
  }
  return tree;
}

function lockWith(entry: object, alias = 'evil'): string {
  const modules = { orders: good, [alias]: { version: '2.0.0', sha256: anyDigest, ...entry } };
  return JSON.stringify({ platform: '2.0.0', modules });
}

interface Attack {
  readonly what: string;
  readonly code: string;
  readonly message: RegExp;
  /** The top tree of the commit, or the commit itself. */
  readonly make: () => string | { readonly commit: string };
}

/** Names that a module's file or folder may not have, with why. */
const names: readonly (readonly [string | Uint8Array, RegExp])[] = [
  ['..', /an empty, \. or \.\. segment/],
  ['.', /an empty, \. or \.\. segment/],
  ['', /an empty, \. or \.\. segment/],
  ['../../escaped', /a slash in its name/],
  ['/etc/passwd', /a slash in its name/],
  ['.git', /git reads as \.git/],
  ['.GIT', /git reads as \.git/],
  ['.git.', /git reads as \.git/],
  ['.git ', /git reads as \.git/],
  ['git~1', /git reads as \.git/],
  ['.g\u200cit', /git reads as \.git/],
  ['.git::$INDEX_ALLOCATION', /git reads as \.git/],
  ['.gi\ufefft', /git reads as \.git/],
  ['a:b', /a colon in its name/],
  ['a\\..\\b', /a backslash in its name/],
  ['con', /the name of a device/],
  ['Aux.php', /the name of a device/],
  ['trailing.', /ends with a dot or a space/],
  ['n'.repeat(256), /a name of more than 255 bytes/],
  ['\u00e4'.repeat(128), /a name of more than 255 bytes/],
  ['line\nfeed', /a control character/],
  ['\u001b[2J', /u001b\[2J.* has a control character/],
  [Buffer.from([0x66, 0xff]), /a name that is not UTF-8/],
];

/** Modes that are no file's. */
const modes: readonly (readonly [string, string, RegExp])[] = [
  ['120000', 'refused-path', /is a symlink/],
  ['160000', 'refused-path', /is a gitlink/],
  ['100600', 'refused-path', /has mode 100600/],
  ['100777', 'refused-path', /has mode 100777/],
  ['040755', 'refused-path', /has mode 040755/],
  ['000000', 'refused-path', /has mode 000000/],
  ['0100644', 'malformed-object', /has an entry of mode "0100644"/],
  ['10064x', 'malformed-object', /has an entry of mode "10064x"/],
  ['', 'malformed-object', /has an entry of mode ""/],
];

/** Text of a lock, and what is said of it. */
const locks: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  [
    'directory is ..',
    lockWith({ directory: '..' }),
    /directory is "\.\.", expected a relative path/,
  ],
  ['directory is absolute', lockWith({ directory: '/etc' }), /directory is "\/etc"/],
  ['alias leaves', lockWith({}, '../x'), /modules\.\.\.\/x is not a possible name/],
  ['version leaves', lockWith({ version: '1.0.0/../../x' }), /version is "1\.0\.0\/\.\.\/\.\.\/x"/],
  ['version is a number', lockWith({ version: 1 }), /version is 1, expected/],
  ['tree is a path', lockWith({ tree: '../../HEAD' }), /tree is "\.\.\/\.\.\/HEAD"/],
  ['negative size', lockWith({ size_bytes: -1 }), /size_bytes is -1/],
  ['size beyond counting', lockWith({ size_bytes: 1e300 }), /size_bytes is 1e\+300/],
  ['artifact is a list', lockWith({ artifact: [] }), /artifact is \[\]/],
  ['modules is a list', '{"platform": "2.0.0", "modules": []}', /modules is \[\]/],
  ['Infinity', lockWith({}).replace('"2.0.0"', '1e999'), /platform is null, expected/],
  ['NaN', '{"platform": NaN}', /is not JSON/],
  ['a BOM', `\ufeff${lockWith({})}`, /is not JSON/],
  ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /canary\.lock\.json is not UTF-8/],
  ['conflict markers', '<<<<<<< a\n{}\n=======\n{}\n>>>>>>> b\n', /lock\.json:1 is not JSON/],
  ['nested deeply', `${'['.repeat(200_000)}`, /is nested deeper than 64/],
  ['nested deeply, rightly', `{"a":${'['.repeat(99)}${']'.repeat(99)}}`, /nested deeper than 64/],
  ['a string of a megabyte', lockWith({ source: 'x'.repeat(900_000) }), /source is "x+…, expected/],
  ['__proto__', lockWith({}).replace('evil', '__proto__'), /__proto__ is not a possible name/],
];

/** Text of a ring's file, and what is said of it. */
const rings: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  [
    'a function',
    'branch: !!js/function "function () {}"\n',
    /ring\.yaml:1 is not YAML: Unresolved tag/,
  ],
  ['itself', 'hostnames: &a [*a]\n', /cannot be read: .*circular/],
  ['itself as a whole', '&a\nholds: *a\n', /cannot be read: .*circular|is not YAML/],
  ['YAML 1.1', '%YAML 1.1\n---\nbranch: yes\n', /it says YAML 1\.1, expected 1\.2/],
  ['merge keys', 'description: x\n<<: {branch: other}\n', /<< is unknown/],
  ['aliases of aliases', yamlBomb(), /Excessive alias count/],
  ['deep flow', `hostnames: ${'['.repeat(100_000)}`, /is nested deeper than 64/],
  ['deep sequences', `hostnames:\n  ${'- '.repeat(100_000)}`, /is nested deeper than 64/],
  ['half a million items', `hostnames: [${'a,'.repeat(400_000)}]`, /has more than 200000 tokens/],
  ['many keys', manyKeys(), /is unknown/],
  ['no UTF-8', Buffer.from([0xff, 0xfe]), /canary\.ring\.yaml is not UTF-8/],
  [
    'too long a text',
    `#${' '.repeat(mebibyte - 1)}\n`,
    /has 1048577 bytes, expected at most 1048576|an object has more/,
  ],
];

function yamlBomb(): string {
  const levels = Array.from({ length: 9 }, (_, level) => {
    const items = Array(9).fill(level === 0 ? 'x' : `*l${level - 1}`);
    return `l${level}: &l${level} [${items.join(', ')}]`;
  });
  return `${levels.join('\n')}\n`;
}

function manyKeys(): string {
  return Array.from({ length: 5_000 }, (_, index) => `k${index}: 1`).join('\n');
}

const large = Buffer.alloc(mebibyte - 10, 'large ');

const attacks: readonly Attack[] = [
  ...names.map(
    ([name, message]): Attack => ({
      what: `a file named ${JSON.stringify(String(name).slice(0, 30))}`,
      code: 'refused-path',
      message,
      make: () => evil([file(name, 'evil\n')]),
    }),
  ),
  ...names.slice(0, 3).map(
    ([name, message]): Attack => ({
      what: `a folder named ${JSON.stringify(name)}`,
      code: 'refused-path',
      message,
      make: () => evil([folder(name, repository.files({ 'evil.txt': 'evil\n' }))]),
    }),
  ),
  ...modes.map(
    ([mode, code, message]): Attack => ({
      what: `a file of mode ${mode}`,
      code,
      message,
      make: () => evil([{ mode, name: 'evil.txt', oid: someBlob }]),
    }),
  ),
  ...locks.map(
    ([what, text, message]): Attack => ({
      what: `a lock: ${what}`,
      code: what === 'NaN' || /BOM|markers/.test(what) ? 'invalid-json' : 'invalid-file',
      message,
      make: () => platform({ lock: text }),
    }),
  ),
  ...rings.map(
    ([what, text, message]): Attack => ({
      what: `a ring's file: ${what}`,
      code: /UTF-8|keys/.test(what)
        ? 'invalid-file'
        : /long/.test(what)
          ? 'limit-exceeded'
          : 'invalid-yaml',
      message,
      make: () => platform({ ring: text }),
    }),
  ),
  {
    what: 'a file that is a tree',
    code: 'malformed-object',
    message: /is a tree, expected a blob/,
    make: () => evil([{ name: 'evil.txt', oid: repository.files({ a: 'a' }) }]),
  },
  {
    what: 'a name twice in a tree',
    code: 'malformed-object',
    message: /is a tree that has "twice" twice/,
    make: () => evil([file('twice', '1'), file('twice', '2')]),
  },
  {
    what: 'a name as a file and as a folder',
    code: 'malformed-object',
    message: /is a tree that has "twice" twice/,
    make: () => evil([file('twice', '1'), folder('twice', repository.files({ a: 'a' }))]),
  },
  {
    what: 'a tree that is not sorted',
    code: 'malformed-object',
    message: /is a tree that is not sorted at "module.json"/,
    make: () => {
      const manifest = file('module.json', moduleJson('evil', '2.0.0'));
      const tree = repository.tree([file('z', 'z'), manifest], 'as given');
      return platform({ pins: { evil: { tree } } });
    },
  },
  {
    what: 'a tree that ends inside an entry',
    code: 'malformed-object',
    message: /is a tree that ends inside an entry/,
    make: () =>
      platform({ pins: { evil: { tree: repository.add('tree', '100644 module.json') } } }),
  },
  {
    what: 'names that fold to one',
    code: 'refused-path',
    message: /Read\.me is the same as READ\.ME|READ\.ME is the same as Read\.me|same as/,
    make: () => evil([file('READ.ME', '1'), file('Read.me', '2')]),
  },
  {
    what: 'folders that fold to one',
    code: 'refused-path',
    message: /a\/y is the same as A under case folding/,
    make: () =>
      evil([folder('A', repository.files({ x: '1' })), folder('a', repository.files({ y: '2' }))]),
  },
  {
    what: 'names that normalise to one',
    code: 'refused-path',
    message: /under case folding or Unicode NFC/,
    make: () => evil([file('caf\u00e9', '1'), file('cafe\u0301', '2')]),
  },
  {
    what: 'ten thousand million paths',
    code: 'limit-exceeded',
    message: /has more than 200000 files and folders/,
    make: () => evil([folder('bomb', bomb(10, 10, repository.files({ 'evil.txt': 'evil' })))]),
  },
  {
    what: 'ten thousand million empty folders',
    code: 'limit-exceeded',
    message: /has more than 200000 files and folders/,
    make: () => evil([folder('bomb', bomb(10, 10, repository.tree([])))]),
  },
  {
    what: 'folders fifteen hundred deep',
    code: 'refused-path',
    message: /… is longer than 2048 bytes/,
    make: () => evil([folder('deep', bomb(1500, 1, repository.tree([])))]),
  },
  {
    what: 'a bomb among the manifests',
    code: 'ring-missing',
    message: /has no manifests\/canary\.ring\.yaml/,
    make: () => platform({ top: [folder('manifests', bomb(12, 12, repository.tree([])))] }),
  },
  {
    what: 'a file over the limit',
    code: 'limit-exceeded',
    message: /an object has more than 1 MiB/,
    make: () => evil([file('large.bin', Buffer.alloc(mebibyte + 1))]),
  },
  {
    what: 'one large file under many names',
    code: 'limit-exceeded',
    message: /^evil 2\.0\.0 has files of more than 3 MiB$/,
    make: () => {
      const oid = repository.blob(large);
      return evil(Array.from({ length: 1000 }, (_, index) => ({ name: `${index}.bin`, oid })));
    },
  },
  {
    what: 'many modules of one large file',
    code: 'limit-exceeded',
    message: /^the modules to install have files of more than 4 MiB$/,
    make: () => {
      const pins = Array.from({ length: 6 }, (_, index): [string, Pin] => {
        const manifest = file('module.json', moduleJson(`evil-${index}`, '2.0.0'));
        return [`evil-${index}`, { tree: repository.tree([file('large.bin', large), manifest]) }];
      });
      return platform({ pins: Object.fromEntries(pins) });
    },
  },
  {
    what: 'a module.json that is a symlink',
    code: 'not-a-module',
    message: /has no file module\.json/,
    make: () => {
      const link = { mode: '120000', name: 'module.json', oid: repository.blob('/etc/passwd') };
      return platform({ pins: { evil: { tree: repository.tree([link]) } } });
    },
  },
  {
    what: 'a module.json that is a folder',
    code: 'not-a-module',
    message: /has no file module\.json/,
    make: () => {
      const tree = repository.files({ 'module.json/a': 'a' });
      return platform({ pins: { evil: { tree } } });
    },
  },
  {
    what: 'a module.json nested deeply',
    code: 'invalid-file',
    message: /module\.json is nested deeper than 64/,
    make: () => {
      const tree = repository.files({ 'module.json': '{"a":'.repeat(100_000) });
      return platform({ pins: { evil: { tree } } });
    },
  },
  {
    what: 'a tree that is a file',
    code: 'malformed-object',
    message: /is a blob, expected a tree/,
    make: () => platform({ pins: { evil: { tree: someBlob } } }),
  },
  {
    what: 'a tree that nobody has',
    code: 'no-source',
    message: /is neither in the version store nor in git/,
    make: () => platform({ pins: { evil: { tree: '1'.repeat(40) } } }),
  },
  ...['../../bin/sh', '/bin/sh', 'http://169.254.169.254/'].map(
    (run): Attack => ({
      what: `a handler that runs ${run}`,
      code: 'invalid-file',
      message: /lifecycle\.onInstall is ".*", expected a path inside the module, or an http URL/,
      make: () => evil([], { lifecycle: { onInstall: run } }),
    }),
  ),
  {
    what: 'migrations outside the module',
    code: 'invalid-file',
    message: /migrations is "\.\.\/sql", expected a relative path/,
    make: () => evil([], { migrations: '../sql' }),
  },
  ...(['120000', '160000', '40000'] as const).flatMap((mode): Attack[] => [
    {
      what: `a lock of mode ${mode}`,
      code: 'lock-missing',
      message: /has no manifests\/canary\.lock\.json/,
      make: () =>
        platform({ manifests: [{ mode, name: 'canary.lock.json', oid: modeTarget(mode) }] }),
    },
    {
      what: `a ring's file of mode ${mode}`,
      code: 'ring-missing',
      message: /has no manifests\/canary\.ring\.yaml/,
      make: () =>
        platform({ manifests: [{ mode, name: 'canary.ring.yaml', oid: modeTarget(mode) }] }),
    },
  ]),
  ...(['120000', '160000', '100644'] as const).map(
    (mode): Attack => ({
      what: `manifests of mode ${mode}`,
      code: 'ring-missing',
      message: /has no manifests\/canary\.ring\.yaml/,
      make: () => platform({ top: [{ mode, name: 'manifests', oid: someBlob }] }),
    }),
  ),
  ...[
    ['Orders', /orders stands there \(Orders\)/],
    ['ORDERS', /orders stands there \(Orders\)/],
    ['Orders/Below', /Orders is the module orders/],
    ['.ringlock', /the name is ringlock’s own/],
    ['.RingLock/x', /the name is ringlock’s own/],
    ['.git', /it has a segment that git reads as \.git/],
    ['nul', /it has the name of a device/],
  ].map(
    ([directory, message]): Attack => ({
      what: `a module to be installed as ${directory}`,
      code: 'directory-clash',
      message: message as RegExp,
      make: () => platform({ lock: lockWith({ directory }) }),
    }),
  ),
  {
    what: 'a commit whose tree is a path',
    code: 'malformed-object',
    message: /is a commit that names "\.\.\/\.\.\/HEAD", expected the ids/,
    make: () => ({ commit: repository.commit('../../HEAD', [start]) }),
  },
  {
    what: 'a commit without a tree',
    code: 'malformed-object',
    message: /is a commit that names ""/,
    make: () => ({ commit: repository.add('commit', `parent ${start}\n\nnothing\n`) }),
  },
  {
    what: 'a commit of megabytes',
    code: 'limit-exceeded',
    message: /an object has more than 1 MiB/,
    make: () => ({
      commit: repository.commit(platform({}), [start], `${'E'.repeat(mebibyte)} <e@e>`),
    }),
  },
  {
    what: 'a tip that is a file',
    code: 'malformed-object',
    message: /is a blob, expected a commit/,
    make: () => ({ commit: someBlob }),
  },
];

function modeTarget(mode: string): string {
  return mode === '40000' ? repository.files({ a: 'a' }) : repository.blob('/etc/passwd');
}

const start = repository.commit(platform({}), []);

async function openRing(t: TestContext) {
  repository.tip = start;
  const url = await serveHandMade(t, repository);
  const root = join(temporaryDirectory(t, 'around'), 'root');
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  const opened = await openReconciler(
    { ...defaultOptions, repositories: [url], ring: 'canary', root, limits },
    { debug: say, info: say, warn: say, error: say },
  );
  t.after(() => opened.close());
  return { root, said, reconcile: () => opened.reconciler.reconcile(new AbortController().signal) };
}

test('whatever a repository commits is refused by name, and the last good generation serves', async (t) => {
  const { root, said, reconcile } = await openRing(t);
  assert.equal((await reconcile()).state, 'converged');
  const served = filesServed(root);
  const versions = readdirSync(join(root, 'versions'));
  const wrong: string[] = [];
  for (const { what, code, message, make } of attacks) {
    const made = make();
    repository.tip = typeof made === 'string' ? repository.commit(made, [start]) : made.commit;
    const { last_error: error } = await reconcile();
    if (error?.code !== code || !message.test(error.message)) {
      wrong.push(`${what}: ${error?.code} ${error?.message}`);
    }
    assert.deepEqual(filesServed(root), served, what);
    assert.deepEqual(readdirSync(dirname(root)), ['root'], what);
    assert.deepEqual(readdirSync(join(root, 'staging')), [], what);
    assert.deepEqual(readdirSync(join(root, 'versions')), versions, what);
  }
  assert.deepEqual(wrong, []);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal
  assert.doesNotMatch(said.join(''), /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
  repository.tip = repository.commit(platform({}), [start], '\u001b[31mEve <eve@example.com>');
  assert.equal((await reconcile()).state, 'converged');
});
