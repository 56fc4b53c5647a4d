import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { uuidv7 } from 'uuidv7';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { verifyJournal } from '../../src/audit/verify-journal.ts';
import { editJournal, forgedLine, makeChain, segmentsOf } from '../support/audit-chain.ts';
import { sampleEvent } from '../support/audit-event.ts';

interface Line {
  readonly segment: string;
  readonly text: string;
}

/** What an attack does to the lines, and what has to be said of it. */
interface Attack {
  readonly lines: Line[];
  readonly kind: string;
  /** Index of the first line that is wrong, in `lines`. */
  readonly at: number;
  /** Number of the event that is named, where that is not what the line says. */
  readonly sequence?: number;
  /** Hash that belongs there. */
  readonly expected?: string | null;
}

type Attacker = (lines: readonly Line[], at: number, other: number) => Attack | undefined;

const eventOf = ({ text }: Line) => JSON.parse(text) as AuditEvent;
const at = <T>(list: readonly T[], index: number): T => {
  const found = list[index];
  assert.ok(found !== undefined, `no element ${index}`);
  return found;
};

/** Each field in turn is changed, and the hash left as it was. */
const fields = ['id', 'ring', 'replica', 'actor', 'operationId', 'action', 'module', 'from', 'to'];
const moreFields = ['digest', 'outcome', 'detail', 'sequence', 'time', 'previous', 'hash'];

const changeField: Attacker = (lines, index, other) => {
  const names = [...fields, ...moreFields];
  const name = at(names, other % names.length);
  const event = eventOf(at(lines, index)) as unknown as Record<string, unknown>;
  const was = event[name];
  const now = typeof was === 'number' ? was + 1 : name === 'hash' ? 'f'.repeat(64) : { was };
  const text = JSON.stringify({
    ...event,
    [name]: typeof was === 'string' && name !== 'hash' ? `${was}!` : now,
  });
  const follower = lines[index + 1];
  return {
    lines: lines.with(index, { ...at(lines, index), text }),
    ...{ kind: 'changed', at: index, sequence: eventOf(at(lines, index)).sequence },
    ...(follower !== undefined && { expected: eventOf(follower).previous }),
  };
};

/** The attacker knows how hashes are computed, and changes one event with its hash. */
const changeWithHash: Attacker = (lines, index) => {
  // Whether it or the one before was changed is known by what follows only.
  if (index >= lines.length - 2) return undefined;
  const text = forgedLine(at(lines, index).text, { to: '6.6.6' });
  return {
    lines: lines.with(index, { ...at(lines, index), text }),
    ...{ kind: 'changed', at: index, expected: eventOf(at(lines, index + 1)).previous },
  };
};

const drop: Attacker = (lines, index) => {
  if (index === lines.length - 1) return undefined;
  const dropped = at(lines, index);
  const { sequence } = eventOf(dropped);
  return {
    lines: lines.toSpliced(index, 1),
    kind: 'missing',
    at: index,
    sequence,
    expected: eventOf(dropped).hash,
  };
};

const duplicate: Attacker = (lines, index, other) => {
  const place = other % (lines.length + 1);
  const copy = {
    ...at(lines, index),
    segment: (lines[place] ?? at(lines, lines.length - 1)).segment,
  };
  const wrong = place === index ? index + 1 : place;
  return { lines: lines.toSpliced(place, 0, copy), kind: 'duplicated', at: wrong };
};

const swap: Attacker = (lines, index, other) => {
  const place = other % lines.length;
  if (place === index) return undefined;
  const [a, b] = [Math.min(index, place), Math.max(index, place)];
  const changed = lines
    .with(a, { ...at(lines, a), text: at(lines, b).text })
    .with(b, { ...at(lines, b), text: at(lines, a).text });
  return { lines: changed, kind: 'reordered', at: a, expected: eventOf(at(lines, a)).hash };
};

/** A new event in the place of another, which follows it: all right by itself. */
const insert: Attacker = (lines, index) => {
  if (index >= lines.length - 1) return undefined;
  const text = forgedLine(at(lines, index).text, { id: uuidv7(), to: '6.6.6' });
  const expected = eventOf(at(lines, index)).hash;
  return {
    lines: lines.toSpliced(index, 0, { ...at(lines, index), text }),
    kind: 'inserted',
    at: index,
    expected,
  };
};

const insertRubbish: Attacker = (lines, index) => ({
  lines: lines.toSpliced(index, 0, { ...at(lines, index), text: '{"hello":"world"}' }),
  ...{ kind: 'inserted', at: index, sequence: eventOf(at(lines, index)).sequence },
});

const attackers: Readonly<Record<string, Attacker>> = {
  ...{ changeField, changeWithHash, drop, duplicate, swap, insert, insertRubbish },
};

describe('the verification of a journal', () => {
  it('names the first event that is wrong, and how, whatever was done to a chain', async (t) => {
    const chains = await Promise.all(
      [3, 8, 17].map(async (count) => {
        const text = 'x'.repeat(count * 40);
        const { directory, events } = await makeChain(t, count, () => ({ detail: { text } }));
        const whole = await verifyJournal(directory);
        assert.deepEqual([whole.broken, whole.last?.hash], [null, events.at(-1)?.hash]);
        return { directory, ...editJournal(directory) };
      }),
    );
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...chains),
        fc.constantFrom(...Object.keys(attackers)),
        fc.nat(),
        fc.nat(),
        async ({ directory, lines, write }, name, index, other) => {
          const attack = attackers[name]?.(lines, index % lines.length, other);
          if (attack === undefined) return;
          write(attack.lines);
          const { broken, events: proven } = await verifyJournal(directory);
          const wrong = attack.lines[attack.at];
          const inSegment = attack.lines.filter(({ segment }) => segment === wrong?.segment);
          assert.ok(broken !== null, name);
          assert.equal(broken.kind, attack.kind, broken.message);
          assert.equal(broken.file, join(directory, wrong?.segment ?? ''));
          assert.equal(broken.line, inSegment.indexOf(wrong as Line) + 1, broken.message);
          if (attack.sequence !== undefined) assert.equal(broken.sequence, attack.sequence);
          else assert.equal(broken.sequence, eventOf(wrong as Line).sequence);
          if (attack.expected !== undefined) assert.equal(broken.expected, attack.expected);
          assert.ok(proven <= attack.at + 1);
          kinds.add(broken.kind);
        },
      ),
      { numRuns: 180 },
    );
    assert.deepEqual([...kinds].sort(), [
      'changed',
      'duplicated',
      'inserted',
      'missing',
      'reordered',
    ]);
  });

  it('finds a segment cut off at any byte, but where an append may just be under way', async (t) => {
    const { directory } = await makeChain(t, 7);
    const [first = '', second = ''] = segmentsOf(directory);
    const last = segmentsOf(directory).at(-1) ?? '';
    const bytes = readFileSync(join(directory, second));
    const lines = editJournal(directory).lines.filter(({ segment }) => segment === first).length;
    for (let cut = 0; cut < bytes.length; cut += 17) {
      writeFileSync(join(directory, second), bytes.subarray(0, cut));
      const { broken, events } = await verifyJournal(directory);
      const left = bytes.subarray(0, cut).filter((byte) => byte === 0x0a).length;
      assert.equal(broken?.sequence, lines + left + 1, `cut at ${cut}`);
      assert.equal(events, lines + left);
      assert.equal(broken?.kind, cut === 0 || bytes[cut - 1] === 0x0a ? 'missing' : 'truncated');
    }
    writeFileSync(join(directory, second), bytes);
    appendFileSync(join(directory, last), '{"action":"inst');
    const torn = await verifyJournal(directory);
    assert.deepEqual([torn.broken, torn.events, torn.unfinishedBytes], [null, 7, 15]);
  });

  it('names a segment that is missing, and says from where a chain is proven without its oldest', async (t) => {
    const { directory, events } = await makeChain(t, 9);
    const [first = '', second = '', third = ''] = segmentsOf(directory);
    const middle = readFileSync(join(directory, second));
    rmSync(join(directory, second));
    const gap = await verifyJournal(directory);
    assert.deepEqual([gap.broken?.kind, gap.broken?.file], ['missing', join(directory, third)]);
    writeFileSync(join(directory, second), middle);
    rmSync(join(directory, first));
    const { broken, first: from, last, chain } = await verifyJournal(directory);
    assert.deepEqual([broken, chain, last?.hash], [null, null, events.at(-1)?.hash]);
    assert.ok(from !== undefined && from.sequence > 1);
  });

  it('raises no false alarm while a reconciler appends', async (t) => {
    const { directory } = await makeChain(t, 1);
    const log = await openAuditLog({ directory, segmentBytes: 4000 });
    let isDone = false;
    const appending = (async () => {
      for (let round = 0; round < 150; round++) {
        await log.append(Array.from({ length: 1 + (round % 5) }, () => sampleEvent()));
      }
      isDone = true;
    })();
    let looks = 0;
    while (!isDone) {
      assert.equal((await verifyJournal(directory)).broken, null);
      looks += 1;
    }
    await appending;
    assert.ok(looks > 3);
    assert.equal((await verifyJournal(directory)).events, log.sequence);
    await log.close();
  });

  it('finds a byte changed anywhere', async (t) => {
    const { directory } = await makeChain(t, 4, () => ({ detail: { message: 'naïve \uFFFD' } }));
    const copy = mkdtempSync(join(directory, 'copy-'));
    const names = segmentsOf(directory);
    for (const name of names) copyFileSync(join(directory, name), join(copy, name));
    for (const [index, name] of names.entries()) {
      const bytes = readFileSync(join(directory, name));
      // The very last line break may be lost in a crash.
      const length = index === names.length - 1 ? bytes.length - 1 : bytes.length;
      for (let position = 0; position < length; position += 13) {
        const changed = Buffer.from(bytes);
        changed[position] = (bytes[position] ?? 0) ^ (1 + (position % 255));
        writeFileSync(join(copy, name), changed);
        const { broken } = await verifyJournal(copy);
        const line = bytes.subarray(0, position).filter((byte) => byte === 0x0a).length + 1;
        assert.equal(broken?.line, line, `byte ${position} of ${name}`);
        assert.equal(broken?.kind, 'changed');
      }
      writeFileSync(join(copy, name), bytes);
    }
  });
});
