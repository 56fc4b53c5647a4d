import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KeptOutput, lastWords } from '../../src/lifecycle/handler-output.ts';
import { errorOf } from '../support/error-of.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { callOf, moduleWith, run } from './support.ts';

const kept = (limit: number, ...chunks: (string | Uint8Array)[]): string => {
  const output = new KeptOutput(limit);
  for (const chunk of chunks) output.add(Buffer.from(chunk));
  return output.text();
};

describe("a handler's output", () => {
  it('is both streams in the order they were written', async (t) => {
    const text = `import { writeSync } from 'node:fs';
      for (let i = 0; i < 200; i++) writeSync(1 + (i % 2), i + ' ');`;
    const { output } = await run(callOf(moduleWith(t, 'run.mjs', text), 'run.mjs'));
    assert.equal(output, Array.from({ length: 200 }, (_, i) => `${i} `).join(''));
  });

  it('comes through where a socket cannot have a path so long', async (t) => {
    const long = temporaryDirectory(t, 'x'.repeat(100));
    const directory = moduleWith(t, 'run.sh', '#!/bin/sh\necho out; echo err >&2');
    const environment = { PATH: process.env['PATH'], TMPDIR: long };
    const { output } = await run(callOf(directory, 'run.sh'), { environment });
    assert.deepEqual(output.split('\n').sort(), ['', 'err', 'out']);
    assert.ok(join(long, 'output').length > 100);
  });

  it('is cut in the middle, and says by how much', async (t) => {
    const text = '#!/bin/sh\nseq 1 200000';
    const { output } = await run(callOf(moduleWith(t, 'run.sh', text), 'run.sh'), {
      limits: { outputBytes: 1000 },
    });
    assert.ok(Buffer.byteLength(output) < 1100);
    assert.match(output, /^1\n2\n3\n/);
    assert.match(output, /\n199999\n200000\n$/);
    const [, cut] = /\n\[… (\d+) bytes cut …\]\n/.exec(output) ?? [];
    const whole = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join('').length;
    const left = output.replace(/\n\[….*…\]\n/, '').length;
    assert.equal(Number(cut) + left, whole);
  });

  it('without end costs bounded memory, and is no failure by itself', async (t) => {
    const text =
      '#!/bin/sh\n(yes "a line of forty characters, more or less" | head -c 300000000)\necho done';
    const directory = moduleWith(t, 'run.sh', text);
    const before = process.memoryUsage().rss;
    const { output } = await run(callOf(directory, 'run.sh'));
    assert.ok(process.memoryUsage().rss - before < 100 * 1024 * 1024);
    assert.ok(output.length <= 64 * 1024 + 100);
    assert.ok(output.endsWith('done\n'), 'what comes after it is heard');
  });

  it('that never ends is ended at the time limit', async (t) => {
    const directory = moduleWith(t, 'run.sh', '#!/bin/sh\nexec yes');
    const error = await errorOf(run(callOf(directory, 'run.sh'), { limits: { timeoutMs: 300 } }));
    assert.equal(error.code, 'handler-timeout');
    assert.ok(JSON.stringify(error.details).length < 10_000);
  });

  it('is harmless where it is shown: no escape, NUL, bidirectional override or broken UTF-8', () => {
    assert.equal(
      kept(1000, '\x1b[31mred\x1b[0m\r\nline\rover\x07\0end'),
      'red\nline\nover\uFFFD\uFFFDend',
    );
    assert.equal(
      kept(1000, '\x1b]0;title\x07 \u202etxt.exe \x9b2J'),
      '\uFFFD]0;title\uFFFD \uFFFDtxt.exe \uFFFD2J',
    );
    assert.equal(kept(1000, Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80])).length, 7);
    assert.equal(kept(1000, Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)), 'é');
    assert.equal(kept(1000, 'a\tb\n'), 'a\tb\n');
  });

  it('has no credentials of URLs in it, also in the error', async (t) => {
    const url = 'https://bot:hunter2@host/p?private_token=hunter3&x=1';
    const text = `#!/bin/sh\necho "cloning ${url}"; printf 'https://bot:hun\\033[1mter2@host\\n' >&2; exit 1`;
    const error = await errorOf(run(callOf(moduleWith(t, 'run.sh', text), 'run.sh')));
    const shown = error.message + JSON.stringify(error.details);
    assert.doesNotMatch(shown, /hunter/);
    assert.match(error.message, /cloning https:\/\/\*\*\*@host\/p\?private_token=\*\*\*&x=1/);
  });

  it('loses a URL that a cut goes through as a whole', () => {
    const url = 'https://bot:hunter2hunter2hunter2hunter2@host/path ';
    for (let before = 0; before < 100; before++) {
      const text = kept(
        100,
        `${'a '.repeat(60)}`.slice(0, before),
        url.repeat(20),
        'z '.repeat(before),
      );
      assert.doesNotMatch(text, /hunter/, `with ${before} bytes before`);
    }
  });

  it('keeps the same whatever the pieces it comes in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
        fc.integer({ min: 2, max: 60 }),
        (chunks, limit) => {
          const whole = Buffer.concat(chunks);
          assert.equal(kept(limit, ...chunks), kept(limit, whole));
          const half = Math.floor(limit / 2);
          if (whole.length <= 2 * half) assert.doesNotMatch(kept(limit, whole), /bytes cut/);
        },
      ),
    );
  });

  it('gives its last words on one line, without a stack trace', () => {
    assert.equal(lastWords('a\nb\nc\nd\ne\nf\n\n'), 'b | c | d | e | f');
    assert.equal(
      lastWords('Error: x\n    at f (file:///a.mjs:1:1)\n\nNode.js v20.20.2\n'),
      'Error: x',
    );
    assert.equal(lastWords('x'.repeat(1000)).length, 401);
  });
});
