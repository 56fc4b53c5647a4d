import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LockEntry } from '../../src/repo/lock.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import {
  type ComparedRing,
  outlookLines,
  ringDifference,
  ringDifferenceMarkdown,
} from '../../src/repo/ring-difference.ts';
import { runCli } from '../support/cli.ts';
import { createPlatform } from '../support/platform.ts';

function side(
  name: string,
  file: string,
  platform: string,
  pins: Record<string, string>,
): ComparedRing {
  const entry = (pin: string): LockEntry => ({
    ...{ version: pin.split(' ')[0] ?? '', sha256: `sha256:${pin}` },
    ...{ directory: null, source: null, tree: null, artifact: null },
    ...{ file_count: 1, size_bytes: 1, released_at: null },
  });
  const modules = new Map(Object.entries(pins).map(([alias, pin]) => [alias, entry(pin)]));
  return {
    ring: parseRingFile(file, name).ring,
    lock: { ring: name, platform, modules },
    tenants: 1,
  };
}

const canary = side('canary', 'tracks: modules', '2.1.0', {
  ...{ same: '1.0.0', newer: '1.10.0', older: '1.0.0', bytes: '1.0.0 b', fresh: '0.1.0' },
  stuck: '3.0.0',
});
const hold = 'holds: { stuck: { version: 2.0.0, reason: "a | b `c` @all" } }';
const edge = side('edge', `promotesFrom: canary\n${hold}`, '2.0.0', {
  ...{ same: '1.0.0', newer: '1.9.0', older: '1.0.1', bytes: '1.0.0 a', gone: '4.0.0' },
  stuck: '2.0.0',
});

test('two rings are compared, whichever is named first, and what would be promoted is the same', () => {
  const difference = ringDifference(canary, edge);
  assert.deepEqual(
    difference.modules.map(({ alias, state }) => [alias, state]),
    [
      ['bytes', 'other-bytes'],
      ['fresh', 'only-first'],
      ['gone', 'only-second'],
      ['newer', 'ahead'],
      ['older', 'behind'],
      ['stuck', 'ahead'],
    ],
  );
  assert.equal(difference.same, 1);
  assert.deepEqual(difference.promotion, {
    ...{ from: 'canary', to: 'edge' },
    candidates: [
      { alias: 'fresh', before: null, after: '0.1.0' },
      { alias: 'newer', before: '1.9.0', after: '1.10.0' },
    ],
    held: [{ alias: 'stuck', version: '2.0.0' }],
    refused: ['bytes', 'older'],
    platform: { before: '2.0.0', after: '2.1.0' },
  });
  assert.deepEqual(ringDifference(edge, canary).promotion, difference.promotion);
  assert.equal(ringDifference(edge, edge).promotion, null);
});

test('the Markdown of two rings gives what people wrote no way to be markup', () => {
  const text = ringDifferenceMarkdown(ringDifference(canary, edge));
  assert.match(text, /^\| `newer` \(canary is ahead\) \| `1\.10\.0` \| `1\.9\.0` \|$/m);
  assert.match(text, /^- `edge` holds `stuck` at `2\.0\.0`: ``a \| b `c` @all``$/m);
  assert.match(
    text,
    /^- to promote from canary to edge: fresh new → 0\.1\.0, newer 1\.9\.0 → 1\.10\.0$/m,
  );
  assert.equal(outlookLines(ringDifference(edge, edge)).length, 0);
});

test('ring diff reads the rings of the work tree', async (t) => {
  const modules = [{ directory: 'Orders', alias: 'orders', version: '1.0.0' }];
  const platform = createPlatform(t, { modules });
  const lock = JSON.parse(platform.read('manifests/edge.lock.json'));
  lock.modules.orders.version = '0.9.0';
  platform.write({ 'manifests/edge.lock.json': JSON.stringify(lock) });
  const shown = await runCli(platform.path, ['ring', 'diff', 'canary', 'edge']);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^orders +1\.0\.0 +0\.9\.0 +canary is ahead$/m);
  assert.match(shown.stdout, /^to promote from canary to edge: orders 0\.9\.0 → 1\.0\.0$/m);
  assert.match(shown.stdout, /^ {2}→ ringlock diff --ring edge --ring canary$/m);
});
