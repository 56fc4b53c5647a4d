import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  createRootToDamage,
  deleteAll,
  expectGoesOn,
  fileContext,
  flipByte,
  namesBelow,
  packFilesOf,
  type RootToDamage,
  repair,
  replaceByDirectory,
  replaceByFile,
  replaceContent,
  shownGeneration,
} from '../support/damaged-root.ts';
import { filesServed, readStatusFile, reconcileOnce } from '../support/deploy.ts';

type Damage = (root: string) => void;

const factsOf = (root: string) => join(shownGeneration(root), '.ringlock');

/** What is mended without a person: the pass ends in service on the tip. */
const mended: Readonly<Record<string, Damage>> = {
  'current was deleted': (root) => rmSync(join(root, 'current')),
  'current and switches.json were deleted': (root) => {
    rmSync(join(root, 'current'));
    rmSync(join(root, 'switches.json'));
  },
  'current, switches.json and the journal were deleted': (root) => {
    for (const name of ['current', 'switches.json', 'journal.jsonl']) rmSync(join(root, name));
  },
  'switches.json is garbage': (root) => writeFileSync(join(root, 'switches.json'), '\0garbage'),
  'switches.json has another shape': (root) =>
    writeFileSync(join(root, 'switches.json'), '{"generations":{"x":3,"5":{"shown_at":7}}}'),
  'status.json is garbage': (root) => writeFileSync(join(root, 'status.json'), '{"ring":'),
  'status.json has another shape': (root) => writeFileSync(join(root, 'status.json'), 'null'),
  'status.json was deleted': (root) => rmSync(join(root, 'status.json')),
  'outbox.json is garbage': (root) => writeFileSync(join(root, 'audit/outbox.json'), 'null'),
  'an owner file is garbage': (root) => {
    for (const text of ['', 'null', 'garbage', '{"pid":"x"}']) {
      writeFileSync(join(root, `owner/${text.length}.json`), text);
    }
  },
  'the owner directory was deleted': (root) => deleteAll(join(root, 'owner')),
  'the staging directory was deleted': (root) => deleteAll(join(root, 'staging')),
  'audit.sqlite was deleted': (root) => rmSync(join(root, 'audit/audit.sqlite')),
  'audit.sqlite is garbage': (root) => writeFileSync(join(root, 'audit/audit.sqlite'), 'garbage'),
  'the audit was deleted': (root) => deleteAll(join(root, 'audit')),
  'a segment of the audit was deleted': (root) => rmSync(join(root, 'audit/journal-000001.jsonl')),
  'repo.git was deleted': (root) => deleteAll(join(root, 'repo.git')),
  'repo.git is a file': (root) => replaceByFile(join(root, 'repo.git')),
  'HEAD was deleted': (root) => rmSync(join(root, 'repo.git/HEAD')),
  'HEAD is garbage': (root) => writeFileSync(join(root, 'repo.git/HEAD'), '\0\0\0'),
  'the config was deleted': (root) => rmSync(join(root, 'repo.git/config')),
  'the refs were deleted': (root) => deleteAll(join(root, 'repo.git/refs')),
  'refs is a file': (root) => replaceByFile(join(root, 'repo.git/refs')),
  'the ref is garbage': (root) =>
    writeFileSync(join(root, 'repo.git/refs/ringlock/converged/main'), 'garbage'),
  'the objects were deleted': (root) => deleteAll(join(root, 'repo.git/objects')),
  'the pack directory was deleted': (root) => deleteAll(join(root, 'repo.git/objects/pack')),
  'every pack was deleted': (root) => {
    for (const path of packFilesOf(root)) if (path.endsWith('.pack')) rmSync(path);
  },
  'every pack has a turned byte': (root) => {
    for (const path of packFilesOf(root)) if (path.endsWith('.pack')) flipByte(path, 20);
  },
  'every index has a turned byte': (root) => {
    for (const path of packFilesOf(root)) if (path.endsWith('.idx')) flipByte(path, 1037);
  },
  'a version was deleted under its link': (root) =>
    deleteAll(realpathSync(join(root, 'current/Orders'))),
  'the version store was deleted': (root) => deleteAll(join(root, 'versions')),
  'the record of a version was deleted': (root) =>
    rmSync(`${realpathSync(join(root, 'current/Orders'))}.sha256`),
  'the current generation was deleted': (root) => deleteAll(shownGeneration(root)),
  'every generation was deleted': (root) => deleteAll(join(root, 'generations')),
  'generation.json is garbage': (root) =>
    replaceContent(join(factsOf(root), 'generation.json'), 'garbage'),
  'generation.json is null': (root) =>
    replaceContent(join(factsOf(root), 'generation.json'), 'null'),
  'lock.json has a turned byte': (root) => flipByte(join(factsOf(root), 'lock.json'), 30),
  'foreign names are about': (root) => {
    mkdirSync(join(root, 'lost+found'));
    for (const name of ['foreign', 'generations/foreign', 'versions/foreign', 'audit/foreign']) {
      writeFileSync(join(root, name), 'of somebody else\n');
    }
  },
};

/** What a person has to look at: refused with exit 3, and --repair takes it from there. */
const refused: Readonly<Record<string, { damage: Damage; says: RegExp; kept?: RegExp }>> = {
  'current is a directory': {
    damage: (root) => replaceByDirectory(join(root, 'current')),
    says: /current is not a link at all/,
    kept: /-current$/,
  },
  'current leads elsewhere': {
    damage: (root) => {
      rmSync(join(root, 'current'));
      symlinkSync('/etc', join(root, 'current'));
    },
    says: /current is a link to \/etc/,
    kept: /-current$/,
  },
  'the journal is damaged in the middle': {
    damage: (root) => {
      const path = join(root, 'journal.jsonl');
      const lines = readFileSync(path, 'utf8').split('\n');
      writeFileSync(path, [...lines.slice(0, 2), 'garbage', ...lines.slice(3)].join('\n'));
    },
    says: /journal\.jsonl:3 is no record of the journal/,
    kept: /-journal$/,
  },
  'an audit event was changed': {
    damage: (root) => flipByte(join(root, 'audit/journal-000001.jsonl'), 300, 1),
    says: /journal-000001\.jsonl at byte 0: event 1 differs from its hash/,
    kept: /-audit$/,
  },
  'an audit event was deleted': {
    damage: (root) => {
      const path = join(root, 'audit/journal-000001.jsonl');
      const lines = readFileSync(path, 'utf8').split('\n');
      writeFileSync(path, lines.filter((_, index) => index !== 2).join('\n'));
    },
    says: /event 4 .* expected 3, does not follow the event before it/,
    kept: /-audit$/,
  },
  'repo.git is of somebody else': {
    damage: (root) => replaceByDirectory(join(root, 'repo.git')),
    says: /repo\.git has foreign and is no git directory/,
    kept: /-repo\.git$/,
  },
  ...Object.fromEntries(
    ['switches.json', 'status.json', 'journal.jsonl', 'audit/audit.sqlite'].map((name) => [
      `${name} is a directory`,
      {
        damage: (root: string) => replaceByDirectory(join(root, name)),
        says: new RegExp(`${name} is a directory, expected a file`),
        kept: new RegExp(`-${name.replace('/', '-')}$`),
      },
    ]),
  ),
  ...Object.fromEntries(
    ['owner', 'staging', 'audit'].map((name) => [
      `${name} is a file`,
      {
        damage: (root: string) => replaceByFile(join(root, name)),
        says: new RegExp(`${name} is a file, expected a directory`),
        kept: new RegExp(`-${name}$`),
      },
    ]),
  ),
};

describe('a damaged disk', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  before(async () => {
    made = await createRootToDamage(file.context);
  });
  after(file.end);

  for (const [what, damage] of Object.entries(mended)) {
    it(`is mended by itself when ${what}`, async (t) => {
      const root = made.copy(t);
      damage(root);
      const { code, stderr } = await reconcileOnce({ repo: made.repo, root });
      assert.equal(code, 0, stderr);
      assert.deepEqual(filesServed(root), made.files.tip);
      assert.equal(readStatusFile(root).converged_commit, made.tip);
      await expectGoesOn(made, root);
    });
  }

  for (const [what, { damage, says, kept }] of Object.entries(refused)) {
    it(`is refused, then repaired when told to, when ${what}`, async (t) => {
      const root = made.copy(t);
      damage(root);
      const refusal = await reconcileOnce({ repo: made.repo, root });
      assert.ok([2, 3].includes(refusal.code), refusal.stderr);
      assert.match(refusal.stderr, says);
      assert.match(refusal.stderr, /ringlock reconcile --repair/);
      const repaired = await repair(made, root);
      assert.equal(repaired.code, 0, repaired.stderr);
      assert.match(repaired.stdout, /^repaired /m);
      assert.deepEqual(filesServed(root), made.files.tip);
      if (kept !== undefined) {
        assert.ok(namesBelow(root, 'damaged').some((name) => kept.test(name)));
      }
      const again = await repair(made, root);
      assert.match(again.stdout, /^nothing to repair$/m);
      await expectGoesOn(made, root);
    });
  }
});
