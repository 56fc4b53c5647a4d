import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { findRepository } from '../../src/git/git-command.ts';
import { splitHistory } from '../../src/release/split-history.ts';
import {
  type MadeCommit,
  makeHistory,
  subtreeMissing,
  subtreeSplit,
} from '../support/made-history.ts';
import type { Repository } from '../support/repository.ts';

const skip = subtreeMissing() ?? false;

const directories = ['m/A', 'm/B', 'lib'] as const;

/** Few contents, so that branches often come to the same one, and a directory takes over another's. */
const contents: readonly Readonly<Record<string, string>>[] = [
  { a: '1' },
  { a: '2' },
  { a: '1', 'sub/b': 'x' },
  { 'sub/b': 'x' },
];

const names = [
  'Eve',
  'J\xc3\xb6rg \xc3\x81d\xc3\xa1m',
  'J\xf6rg Latin',
  ' .,Dotted, Jr.; ',
  'Back\\slash \\"quoted\\"',
  "O'Neil'",
  '\xed\xa0\x80 surrogate',
  '\xef\xbf\xbe none \xe2\x82',
  'Tab\tand  blanks',
  '$HOME `id` %s%n',
];
const mails = ['eve@example.com', '', ' .odd\\mail,@x ', 'j\xf6rg@example.com', '"quoted"@x'];
const zones = ['+0000', '-0000', '+0530', '-0800', '+1400', '-0001', '+0075', '+051800', '+9999'];
const identity = fc
  .tuple(
    fc.constantFrom(...names),
    fc.constantFrom(...mails),
    fc.integer({ min: 100_000, max: 4_000_000_000 }),
    fc.constantFrom(...zones),
  )
  .map(([name, mail, time, zone]) => `${name} <${mail}> ${time} ${zone}`);

const message = fc.oneof(
  fc.constantFrom(
    '',
    '\n',
    'No end',
    '\n\nLate start\n\n\n',
    'CR\r\nLF\r\n',
    'Latin \xe4\xf6\xfc\n',
    'Caf\xc3\xa9 \xff\xfe\xc3\n',
    'Cut \xe2\x82',
    'back\\slash\\\n',
    'NUL \0 inside\n',
    'git-subtree-dir: other/place\n',
    '\xf0\x9f\x9a\x80 and \xf4\x90\x80\x80 \xc0\x80 \xef\xb7\x90 \xed\xbf\xbf\n',
  ),
  fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength: 12 })
    .map((codes) => String.fromCharCode(...codes)),
);

const headers = fc.constantFrom(
  '',
  '',
  'encoding ISO-8859-1\n',
  'encoding latin-1\n',
  'encoding ISO-8859-2\n',
  'encoding Shift_JIS\n',
  'encoding windows-1252\n',
  'encoding UTF-8\n',
  'encoding no-such-thing\n',
  'gpgsig -----BEGIN PGP SIGNATURE-----\n \n wsBc\n -----END PGP SIGNATURE-----\n',
  'mergetag object 0000000000000000000000000000000000000000\n type commit\nodd header\n',
);

interface Choice {
  /** How far back each parent is. */
  readonly back: readonly number[];
  /** By directory: a content, or as the first parent that has it. */
  readonly content: readonly (number | 'kept')[];
  readonly author: string;
  readonly committer: string;
  readonly headers: string;
  readonly message: string;
}

const choice: fc.Arbitrary<Choice> = fc.record({
  back: fc.oneof(
    { weight: 3, arbitrary: fc.constant([1]) },
    { weight: 4, arbitrary: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }) },
  ),
  content: fc.tuple(
    ...directories.map(() =>
      fc.oneof(
        { weight: 3, arbitrary: fc.constant('kept' as const) },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: contents.length - 1 }) },
      ),
    ),
  ),
  author: identity,
  committer: identity,
  headers,
  message,
});

/** A directory that is there once stays, which is what git and ringlock agree on. */
function historyOf(choices: readonly Choice[]): MadeCommit[] {
  const states: (readonly (number | undefined)[])[] = [];
  return choices.map(({ back, content, ...texts }, place) => {
    const parents = back.map((steps) => place - steps).filter((parent) => parent >= 0);
    const state = content.map((chosen, index) =>
      chosen === 'kept'
        ? parents.map((parent) => states[parent]?.[index]).find((one) => one !== undefined)
        : chosen,
    );
    states.push(state);
    const files: Record<string, string> = { secret: `${place % 3}` };
    for (const [index, which] of state.entries()) {
      for (const [name, text] of Object.entries(contents[which ?? -1] ?? {})) {
        files[`${directories[index]}/${name}`] = text;
      }
    }
    return { parents, files, ...texts };
  });
}

/** @returns how many directories were compared */
async function compare(repository: Repository, all: readonly string[]): Promise<number> {
  const tip = repository.git('rev-parse', 'HEAD');
  const splits = await splitHistory(await findRepository(repository.path), all, { tip });
  let compared = 0;
  for (const { directory, commit, refusal } of splits) {
    if (refusal?.code === 'no-such-directory') continue;
    const { stdout, stderr, status } = subtreeSplit(repository, directory, tip);
    assert.equal(status, 0, stderr);
    assert.equal(commit, stdout.trim(), `${directory} of ${repository.path}`);
    compared += 1;
  }
  return compared;
}

test('makes the ids of git subtree split of random histories', { skip }, async (t) => {
  const seed = Number(process.env['RINGLOCK_TEST_SEED'] ?? Date.now() % 1_000_000);
  const runs = Number(process.env['RINGLOCK_TEST_RUNS'] ?? 9);
  t.diagnostic(`RINGLOCK_TEST_SEED=${seed}`);
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(choice, { minLength: 4, maxLength: 14 }), async (choices) => {
      const { repository } = makeHistory(t, historyOf(choices));
      compared += await compare(repository, directories);
      rmSync(repository.path, { recursive: true });
    }),
    { numRuns: runs, seed, endOnFailure: process.env['RINGLOCK_TEST_SHRINK'] === undefined },
  );
  assert.ok(compared >= runs, `only ${compared} splits were compared`);
});

const at = (a: string, more: Readonly<Record<string, string>> = {}) => ({
  'm/A/file': a,
  secret: 's',
  ...more,
});

test('makes the ids of git subtree split of octopus and criss-cross merges', {
  skip,
}, async (t: TestContext) => {
  const { repository } = makeHistory(t, [
    { parents: [], files: { secret: 's' }, message: 'before the module' },
    { parents: [0], files: at('1'), message: 'first' },
    { parents: [1], files: at('2'), message: 'left' },
    { parents: [1], files: at('3'), message: 'right' },
    { parents: [2, 3], files: at('2'), message: 'left takes right, keeps its own' },
    { parents: [3, 2], files: at('3'), message: 'right takes left, keeps its own' },
    { parents: [4, 5], files: at('4'), message: 'criss-cross joined' },
    { parents: [6], files: at('4', { other: '1' }), message: 'beside' },
    { parents: [6], files: at('4', { other: '2' }), message: 'beside, too' },
    { parents: [6], files: at('5'), message: 'changed' },
    { parents: [7, 8, 9], files: at('5', { other: '3' }), message: 'octopus' },
    { parents: [10], files: at('4'), message: 'back to 4' },
    { parents: [11, 7, 8], files: at('4'), message: 'octopus of one content' },
    { parents: [], files: at('4'), message: 'another root of one content' },
    { parents: [12, 13], files: at('4'), message: 'unrelated, joined' },
    { parents: [14], files: at('4'), message: 'empty' },
    { parents: [15], files: at('4', { 'm/B/file': '4' }), message: 'a copy elsewhere' },
    { parents: [16, 0], files: at('6', { 'm/B/file': '5' }), message: 'joins what has no module' },
    { parents: [16], files: { 'm/B/file': '4', 'm/C/file': '4' }, message: 'moved' },
    { parents: [17], files: at('6', { 'm/B/file': '6', 'm/C/file': '1' }), message: 'beside' },
    { parents: [19], files: at('7', { 'm/B/file': '6', 'm/C/file': '1' }), message: 'side' },
    { parents: [19], files: at('8', { 'm/B/file': '6', 'm/C/file': '1' }), message: 'own' },
    // Of several parents with other contents, git looks at the last one alone.
    {
      parents: [20, 21, 19],
      files: at('8', { 'm/B/file': '6', 'm/C/file': '1' }),
      message: 'drop',
    },
    { parents: [22], files: at('9', { 'm/B/file': '6', 'm/C/file': '1' }), message: 'last' },
  ]);
  assert.equal(await compare(repository, ['m/A', 'm/B', 'm/C', 'm']), 4);
});
