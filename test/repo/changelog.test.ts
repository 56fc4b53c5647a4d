import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changelogSection, withChangelogHeading } from '../../src/repo/changelog.ts';

const changelog = `# Changelog

## [1.1.0] - 2026-10-01

### Added
- Refunds.

## 1.0.10

- Ten.

## v1.0.1 (2026-02-03)

- A fix.

## 1.0.0-beta.1
`;

describe('a changelog', () => {
  it('gives the section of a version, however its heading is written', () => {
    assert.equal(changelogSection(changelog, '1.1.0'), '### Added\n- Refunds.');
    assert.equal(changelogSection(changelog, '1.0.1'), '- A fix.');
    assert.equal(changelogSection(changelog, '1.0.10'), '- Ten.');
    assert.equal(changelogSection(changelog, '1.0.0-beta.1'), '');
  });

  it('has no section for a version that only looks like another', () => {
    assert.equal(changelogSection(changelog, '1.0.0'), undefined);
    assert.equal(changelogSection(changelog, '1.0.0-beta'), undefined);
    assert.equal(changelogSection('', '1.0.0'), undefined);
  });

  it('gets a heading above the newest version, once', () => {
    const added = withChangelogHeading(changelog, '1.2.0', '2026-11-24', 'Describe the change.');
    assert.equal(changelogSection(added, '1.2.0'), '- Describe the change.');
    assert.equal(changelogSection(added, '1.1.0'), '### Added\n- Refunds.');
    assert.ok(added.indexOf('## 1.2.0') < added.indexOf('## [1.1.0]'));
    assert.equal(withChangelogHeading(added, '1.2.0', '2026-11-25', 'Other.'), added);
  });

  it('is begun when there is none', () => {
    assert.equal(
      withChangelogHeading('', '1.0.1', '2026-11-24', 'A fix.'),
      '# Changelog\n\n## 1.0.1 - 2026-11-24\n\n- A fix.\n',
    );
  });
});
