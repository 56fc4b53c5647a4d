import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePlatformVersion, satisfies } from '../../src/repo/platform.ts';

const cases: readonly [range: string, inside: readonly string[], outside: readonly string[]][] = [
  ['^2.0.0', ['2.0.0', '2.9.1', '2.1.0-beta.1'], ['1.9.9', '3.0.0', '2.0.0-beta.1']],
  ['~2.1.0', ['2.1.0', '2.1.9'], ['2.2.0', '2.0.9', '2.1.0-rc.1']],
  ['>=2.0', ['2.0.0', '3.5.0'], ['1.9.9']],
  ['>2.0.0', ['2.0.1', '2.0.1-beta.1'], ['2.0.0', '2.0.0-beta.1']],
  ['<=2.0.0', ['2.0.0', '1.0.0', '2.0.0-beta.1'], ['2.0.1']],
  ['<2.0.0', ['1.9.9', '2.0.0-beta.1'], ['2.0.0']],
  ['=2.0.0', ['2.0.0'], ['2.0.1', '2.0.0-beta.1']],
  ['2.0.0', ['2.0.0'], ['2.0.1']],
  ['>=2.0 <3.0', ['2.0.0', '2.99.0', '2.1.0-beta.1'], ['3.0.0', '1.9.9']],
  ['^1.0.0 || ^3.0.0', ['1.5.0', '3.0.0'], ['2.0.0', '4.0.0']],
  ['^0.3.1', ['0.3.1', '0.3.9'], ['0.4.0', '0.3.0']],
  ['*', ['0.0.1', '9.9.9', '2.0.0-beta.1'], []],
];

for (const [range, inside, outside] of cases) {
  test(`${range} holds ${inside.join(', ')}${outside.length > 0 ? ` and not ${outside.join(', ')}` : ''}`, () => {
    for (const version of inside) assert.ok(satisfies(version, range), version);
    for (const version of outside) assert.ok(!satisfies(version, range), version);
  });
}

test('the platform version is the one line of VERSION', () => {
  assert.equal(parsePlatformVersion('2.0.0\n'), '2.0.0');
  assert.equal(parsePlatformVersion('2.1.0-beta.1'), '2.1.0-beta.1');
});
