import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { findRepository } from '../../src/git/git-command.ts';
import { provePush, readMainline } from '../../src/release/push-proof.ts';
import { splitCacheFile } from '../../src/release/split-cache.ts';
import { splitHistory } from '../../src/release/split-history.ts';
import { type MadeCommit, makeHistory } from '../support/made-history.ts';

const directories = ['m/A', 'm/B'];

/** By commit: how far back its parents are, and each directory's content, `''` for none, null for as before. */
const history = fc.array(
  fc.record({
    back: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    contents: fc.tuple(
      ...directories.map(() => fc.constantFrom(null, null, '', '', 'one', 'two', 'three')),
    ),
  }),
  { minLength: 4, maxLength: 20 },
);

function commitsOf(
  choices: typeof history extends fc.Arbitrary<infer T> ? T : never,
): MadeCommit[] {
  const states: string[][] = [];
  return choices.map(({ back, contents }, place) => {
    const parents = back.map((steps) => place - steps).filter((parent) => parent >= 0);
    const state = contents.map((content, at) => content ?? states[parents[0] ?? -1]?.[at] ?? '');
    states.push(state);
    const files: Record<string, string> = { secret: `${place}` };
    for (const [at, content] of state.entries()) {
      if (content !== '') files[`${directories[at]}/file`] = content;
    }
    return { parents, files, message: `${place}\n` };
  });
}

test('whatever is deleted and made again, a split holds its directory alone, and is the same step by step', async (t) => {
  const seed = Number(process.env['RINGLOCK_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`RINGLOCK_TEST_SEED=${seed}`);
  let made = 0;
  await fc.assert(
    fc.asyncProperty(history, async (choices) => {
      const { repository, oids } = makeHistory(t, commitsOf(choices));
      const git = await findRepository(repository.path);
      // The cache grows by a third of the history at a time.
      const steps = [1, 2, 3].map((part) => oids[Math.ceil((oids.length * part) / 3) - 1] ?? '');
      for (const tip of steps) await splitHistory(git, directories, { tip });
      const tip = steps[2] ?? '';
      const grown = await splitHistory(git, directories, { tip });
      rmSync(splitCacheFile(git));
      const fresh = await splitHistory(git, directories, { tip });
      const mainline = await readMainline(git, tip, directories);
      for (const [place, { directory, commit }] of fresh.entries()) {
        assert.equal(grown[place]?.commit, commit);
        if (commit === undefined) continue;
        made += 1;
        await provePush(git, mainline, directory, commit);
        const [tree, expected] = [`${commit}^{tree}`, `${tip}:${directory}`];
        assert.equal(repository.git('rev-parse', tree), repository.git('rev-parse', expected));
      }
      rmSync(repository.path, { recursive: true });
    }),
    { numRuns: Number(process.env['RINGLOCK_TEST_RUNS'] ?? 12), seed, endOnFailure: true },
  );
  assert.ok(made > 0);
});
