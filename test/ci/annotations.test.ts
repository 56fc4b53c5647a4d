import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { codeQualityReport } from '../../src/ci/code-quality.ts';
import { type CiFinding, describeFinding } from '../../src/ci/finding.ts';
import { shellWord } from '../../src/ci/printable.ts';
import { workflowCommands } from '../../src/ci/workflow-commands.ts';

const finding: CiFinding = {
  check: 'version-unbumped',
  severity: 'error',
  alias: 'orders',
  file: 'modules/Orders/module.json',
  line: 4,
  message: 'orders was changed, but its version is still 1.0.0',
  mend: 'ringlock bump orders patch',
  files: [],
};

test('GitHub’s commands are escaped as its documentation says', () => {
  const hostile = { ...finding, file: 'a,b:c%\n::error::x', message: 'one\r\n::set-env::two 100%' };
  assert.deepEqual(workflowCommands([hostile]), [
    '::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=4,title=ringlock version-unbumped::one%0D%0A::set-env::two 100%25%0A→ ringlock bump orders patch',
  ]);
});

test('no name or message begins another command, and GitHub reads back what was meant', () => {
  const unescaped = (text: string) =>
    text
      .replaceAll('%2C', ',')
      .replaceAll('%3A', ':')
      .replaceAll('%0D', '\r')
      .replaceAll('%0A', '\n')
      .replaceAll('%25', '%');
  // Of what has a meaning in these lines, and anything else.
  const text = fc.string({ unit: fc.constantFrom(...'%,:\n\r ae\u202e0ADC') });
  fc.assert(
    fc.property(text, text, (file, message) => {
      const [line = '', ...more] = workflowCommands([
        { ...finding, file, message, mend: undefined },
      ]);
      assert.deepEqual(more, []);
      assert.doesNotMatch(line, /[\r\n]/);
      const [, properties = '', text = ''] = /^::error (.*?)::(.*)$/s.exec(line) ?? [];
      assert.equal(unescaped(text), message);
      assert.equal(unescaped(properties.split(',')[0]?.slice('file='.length) ?? ''), file);
    }),
    { numRuns: 100 },
  );
});

test('GitLab’s report has one entry a finding, each with a fingerprint that line and words leave alone', () => {
  const warning: CiFinding = { ...finding, check: 'changelog-missing', severity: 'warning' };
  const report = JSON.parse(codeQualityReport([finding, finding, warning]));
  assert.deepEqual(
    report.map((entry: { severity: string }) => entry.severity),
    ['critical', 'critical', 'minor'],
  );
  assert.deepEqual(report[0].location, { path: finding.file, lines: { begin: 4 } });
  assert.equal(report[0].check_name, 'ringlock/version-unbumped');
  const prints = report.map((entry: { fingerprint: string }) => entry.fingerprint);
  assert.equal(new Set(prints).size, 3);
  const later = JSON.parse(codeQualityReport([{ ...finding, line: 9, message: 'otherwise' }]));
  assert.equal(later[0].fingerprint, prints[0]);
  assert.equal(codeQualityReport([]), '[]\n');
});

test('a name with a line break begins no line, and a branch’s name is one word of a shell', () => {
  const files = ['modules/Orders/a\n::add-mask::x'];
  assert.match(describeFinding({ ...finding, files }), /\n {4}modules\/Orders\/a\\u000a::add-mask/);
  assert.equal(shellWord('feature/x-1.2'), 'feature/x-1.2');
  assert.equal(shellWord("a$(id)'b"), `'a$(id)'\\''b'`);
});
