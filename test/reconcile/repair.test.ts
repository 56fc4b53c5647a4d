import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  createRootToDamage,
  deleteAll,
  eventIds,
  expectGoesOn,
  fileContext,
  flipByte,
  namesBelow,
  packFilesOf,
  type RootToDamage,
  repair,
  replaceByDirectory,
  replaceContent,
  shownGeneration,
} from '../support/damaged-root.ts';
import { filesServed, readEvents, readStatusFile, reconcileOnce } from '../support/deploy.ts';

/** Every file of a root, but for those that any run writes: path → digest. */
function contents(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile() && entry.name !== 'status.json');
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path, createHash('sha256').update(readFileSync(path)).digest('hex')];
    }),
  );
}

const chain = (root: string) => join(root, 'audit/journal-000001.jsonl');

describe('reconcile --repair', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  before(async () => {
    made = await createRootToDamage(file.context);
  });
  after(file.end);

  it('does nothing to a healthy root, and says so', async (t) => {
    const root = made.copy(t);
    const before = contents(root);
    const { code, stdout } = await repair(made, root);
    assert.equal(code, 0);
    assert.match(stdout, /^nothing to repair\ncanary is converged/);
    assert.deepEqual(contents(root), before);
    const json = await repair(made, root, '--json');
    assert.deepEqual(JSON.parse(json.stdout).repairs, []);
  });

  it('does nothing to a root that is not there yet', async (t) => {
    const root = join(made.copy(t), '../new');
    const { code, stdout } = await reconcileOnce({ repo: made.repo, root: join(root, '..') }, [
      '--repair',
      '--root',
      root,
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /^nothing to repair$/m);
    assert.deepEqual(filesServed(root), made.files.tip);
  });

  it('says line by line what it found and did, also as JSON and in the audit', async (t) => {
    const root = made.copy(t);
    replaceByDirectory(join(root, 'current'));
    writeFileSync(join(root, 'switches.json'), 'garbage');
    const { code, stdout, stderr } = await repair(made, root, '--json');
    assert.equal(code, 0, stderr);
    const { repairs } = JSON.parse(stdout);
    const [switches, current, shown] = repairs;
    assert.equal(switches.path, 'switches.json');
    assert.match(switches.moved_to, /^damaged\/\w+-switches\.json$/);
    assert.equal(readFileSync(join(root, switches.moved_to), 'utf8'), 'garbage');
    assert.equal(
      readFileSync(join(root, current.moved_to, 'foreign'), 'utf8'),
      'of somebody else\n',
    );
    assert.deepEqual(shown, {
      path: 'current',
      found: 'it is gone',
      did: 'shows generation 2',
      moved_to: null,
    });
    const [event] = readEvents(root).filter(({ action }) => action === 'operator');
    assert.deepEqual(event?.['detail'], { message: 'reconcile --repair', repairs });
    assert.match(stderr, /repair: current: it is gone; shows generation 2/);
    assert.deepEqual(filesServed(root), made.files.tip);
    await expectGoesOn(made, root);
  });

  it('keeps a broken chain as it was, and begins a new one with every event at its own time', async (t) => {
    const root = made.copy(t);
    const times = new Map(readEvents(root).map(({ id, time }) => [id, time]));
    flipByte(chain(root), 1500, 1);
    const found = readFileSync(chain(root));
    assert.equal((await repair(made, root)).code, 0);
    const [aside] = namesBelow(root, 'damaged');
    const kept = readFileSync(join(root, 'damaged', aside ?? '', 'journal-000001.jsonl'));
    assert.deepEqual(kept, found);
    const ids = await eventIds(root);
    assert.deepEqual(ids.slice(0, made.events.length), made.events);
    for (const event of readEvents(root).slice(0, made.events.length)) {
      const { restored_from: from } = event['detail'] as Record<string, unknown>;
      if (from !== 'journal.jsonl') assert.equal(event['time'], times.get(event['id']));
    }
    const operator = readEvents(root).at(-1);
    assert.match(
      JSON.stringify(operator),
      /event 2 is not an audit event|event \d+ differs from its hash/,
    );
    const sum = createHash('sha256').update(found).digest('hex');
    assert.ok(JSON.stringify(operator).includes(sum), 'the evidence is named by its digest');
    await expectGoesOn(made, root);
  });

  it('marks what the chain does not vouch for', async (t) => {
    const root = made.copy(t);
    const lines = readFileSync(chain(root), 'utf8').split('\n');
    writeFileSync(chain(root), lines.filter((_, index) => index !== 3).join('\n'));
    await repair(made, root);
    const origins = readEvents(root)
      .filter(({ action }) => action !== 'operator')
      .map(({ detail }) => (detail as Record<string, unknown>)['restored_from']);
    const after = 'journal-000001.jsonl';
    assert.deepEqual(origins.slice(0, 5), [
      undefined,
      undefined,
      undefined,
      'journal.jsonl',
      after,
    ]);
    await expectGoesOn(made, root);
  });

  it('finds a break that a start does not look for: in an older segment', async (t) => {
    const root = made.copy(t);
    const path = chain(root);
    const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
    for (const [index, part] of [lines.slice(0, 2), lines.slice(2, 4), lines.slice(4)].entries()) {
      writeFileSync(join(root, `audit/journal-00000${index + 1}.jsonl`), `${part.join('\n')}\n`);
    }
    flipByte(path, 300, 1);
    assert.equal((await reconcileOnce({ repo: made.repo, root })).code, 0);
    const { stdout } = await repair(made, root);
    assert.match(stdout, /repaired audit: .*journal-000001\.jsonl at byte 0: event 1/);
    assert.deepEqual((await eventIds(root)).slice(0, made.events.length), made.events);
    await expectGoesOn(made, root);
  });

  it('marks damaged versions, and the pass stages them again', async (t) => {
    const root = made.copy(t);
    flipByte(join(shownGeneration(root), 'Orders/CHANGELOG.md'), 3);
    const { code, stdout } = await repair(made, root);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /repaired versions\/orders\/1\.1\.0-\w+: CHANGELOG\.md was changed; marked/,
    );
    assert.deepEqual(filesServed(root), made.files.tip);
    assert.match((await repair(made, root)).stdout, /^nothing to repair$/m);
    await expectGoesOn(made, root);
  });

  it('shows the newest generation with every byte right while git is away', async (t) => {
    const root = made.copy(t);
    replaceContent(join(shownGeneration(root), '.ringlock/generation.json'), 'garbage');
    const away = { repo: join(root, '../nowhere'), root };
    const { code, stdout } = await reconcileOnce(away, ['--repair']);
    assert.equal(code, 3);
    assert.match(
      stdout,
      /repaired current: it shows generation 2, which is not complete; shows generation 1/,
    );
    assert.match(stdout, /repaired generations\/000002: not a complete generation; moved aside/);
    assert.deepEqual(filesServed(root), made.files.before);
    await expectGoesOn(made, root);
  });

  it('leaves a current that nothing better is there for', async (t) => {
    const root = made.copy(t);
    for (const number of namesBelow(root, 'generations')) {
      replaceContent(join(root, 'generations', number, '.ringlock/generation.json'), 'garbage');
    }
    const away = { repo: join(root, '../nowhere'), root };
    const { stdout } = await reconcileOnce(away, ['--repair']);
    assert.match(stdout, /no generation is good: the pass has to build one/);
    assert.deepEqual(filesServed(root), made.files.tip);
    await expectGoesOn(made, root);
  });

  it('moves a damaged repo.git aside and still refuses a branch that was rewound', async (t) => {
    const root = made.copy(t);
    for (const path of packFilesOf(root)) flipByte(path, 50);
    const { code, stdout } = await repair(made, root);
    assert.equal(code, 0);
    assert.match(stdout, /repaired repo\.git: pack-\w+: its index does not fit it, and \d+ more/);
    assert.ok(namesBelow(root, 'damaged').some((name) => name.endsWith('-repo.git')));
    await expectRefusesRewind(root);
    await expectGoesOn(made, root);
  });

  for (const [what, lose] of [
    ['repo.git was deleted', (root: string) => deleteAll(join(root, 'repo.git'))],
    [
      'repo.git and status.json were deleted',
      (root: string) => {
        deleteAll(join(root, 'repo.git'));
        rmSync(join(root, 'status.json'));
      },
    ],
    [
      'repo.git was deleted and generation.json is garbage',
      (root: string) => {
        deleteAll(join(root, 'repo.git'));
        replaceContent(join(shownGeneration(root), '.ringlock/generation.json'), 'garbage');
      },
    ],
  ] as const) {
    it(`follows no rewound branch when ${what}`, async (t) => {
      const root = made.copy(t);
      lose(root);
      await expectRefusesRewind(root);
      await expectGoesOn(made, root);
    });
  }

  it('puts right a ref that names a commit which was never there', async (t) => {
    const root = made.copy(t);
    const ref = join(root, 'repo.git/refs/ringlock/converged/main');
    writeFileSync(ref, `${'1'.repeat(40)}\n`);
    const refusal = await reconcileOnce({ repo: made.repo, root });
    assert.equal(refusal.code, 1);
    assert.equal(readStatusFile(root).last_error?.code, 'branch-rewritten');
    assert.equal((await repair(made, root)).code, 0);
    assert.equal(readFileSync(ref, 'utf8'), `${made.tip}\n`);
    await expectGoesOn(made, root);
  });

  it('finds a page of audit.sqlite changed, and writes it anew', async (t) => {
    const root = made.copy(t);
    const path = join(root, 'audit/audit.sqlite');
    const right = readFileSync(path);
    flipByte(path, right.length - 100);
    const { stdout } = await repair(made, root);
    assert.match(stdout, /repaired audit\/audit\.sqlite: not what the audit journal says/);
    assert.equal(readFileSync(path).toString('latin1', 0, 15), 'SQLite format 3');
    assert.match((await repair(made, root)).stdout, /^nothing to repair$/m);
  });

  it('is refused while another process owns the root', async (t) => {
    const root = made.copy(t);
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const space = execFileSync('readlink', ['/proc/self/ns/pid'], { encoding: 'utf8' }).trim();
    const stat = readFileSync(`/proc/${process.pid}/stat`, 'utf8');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const claim = { pid: process.pid, host: 'here', namespace: `${boot} ${space}`, started };
    writeFileSync(join(root, 'owner/other.json'), JSON.stringify({ ...claim, since: 'now' }));
    replaceByDirectory(join(root, 'current'));
    const { code, stderr } = await repair(made, root);
    assert.equal(code, 3);
    assert.match(stderr, /is owned by process/);
    assert.deepEqual(namesBelow(root, 'damaged'), []);
  });

  it('keeps a directory that is a link to another volume', async (t) => {
    const root = made.copy(t);
    renameSync(join(root, 'audit'), join(root, '../elsewhere'));
    symlinkSync(join(root, '../elsewhere'), join(root, 'audit'));
    assert.match((await repair(made, root)).stdout, /^nothing to repair$/m);
    await expectGoesOn(made, root);
  });

  /** A server that lags, or a branch that somebody forced back: it is at the commit before. */
  async function expectRefusesRewind(root: string): Promise<void> {
    const rewound = join(root, '../rewound.git');
    execFileSync('git', ['clone', '-q', '--bare', made.repo, rewound]);
    execFileSync('git', ['-C', rewound, 'update-ref', 'refs/heads/main', `${made.tip}~1`]);
    const served = filesServed(root);
    const { code, stderr } = await reconcileOnce({ repo: rewound, root });
    assert.equal(code, 1, stderr);
    assert.match(stderr, new RegExp(`does not descend from ${made.tip}`));
    assert.deepEqual(filesServed(root), served);
  }
});
