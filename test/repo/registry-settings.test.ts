import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RinglockError } from '../../src/errors.ts';
import { parseSettings } from '../../src/repo/settings.ts';

test('reads registries in their order, with what is not said', () => {
  const { registries, releases } = parseSettings(`
registries:
  - {kind: gitlab, url: 'https://gitlab.example.com', project: 'acme/modules/{alias}'}
  - {kind: oci, url: 'https://registry.example.com/acme', tokenVariable: VENDOR_REGISTRY_TOKEN}
  - {kind: directory, url: /srv/packages}
  - {kind: directory, url: 'file:///srv/more'}
releases:
  - {kind: github, project: acme/platform}
  - {kind: gitlab, url: 'https://gitlab.example.com', project: 'acme/{alias}', tag: 'v{version}'}
`);
  assert.deepEqual(
    registries.map(({ kind }) => kind),
    ['gitlab', 'oci', 'directory', 'directory'],
  );
  assert.deepEqual(
    registries.map(({ tokenVariable }) => tokenVariable),
    [
      ...['MODULE_REGISTRY_TOKEN', 'VENDOR_REGISTRY_TOKEN'],
      ...['MODULE_REGISTRY_TOKEN', 'MODULE_REGISTRY_TOKEN'],
    ],
  );
  assert.deepEqual(releases, [
    {
      ...{ kind: 'github', url: 'https://api.github.com', project: 'acme/platform' },
      tag: '{alias}@{version}',
    },
    {
      ...{ kind: 'gitlab', url: 'https://gitlab.example.com', project: 'acme/{alias}' },
      tag: 'v{version}',
    },
  ]);
});

const wrong: Readonly<Record<string, RegExp>> = {
  "registries: [{kind: s3, url: 'https://x.example.com'}]":
    /kind.*expected gitlab, oci, http or directory/,
  'registries: [{kind: directory, url: relative/path}]': /url.*relative\/path.*expected/,
  "registries: [{kind: directory, url: 'https://x.example.com'}]":
    /expected an absolute path or file:/,
  'registries: [{kind: oci, url: /srv/packages}]': /expected https:/,
  "registries: [{kind: oci, url: 'https://x.example.com', project: a}]":
    /has a project, expected none/,
  "registries: [{kind: gitlab, url: 'https://x.example.com', project: 'a/{name}'}]":
    /expected no braces but \{alias\}/,
  // Whoever may commit must not have another secret sent to a server of their own.
  "registries: [{kind: http, url: 'https://x.example.com', tokenVariable: DATABASE_URL}]":
    /tokenVariable.*REGISTRY_TOKEN/,
  'registries: [{kind: oci}]': /url/,
  'releases: [{kind: gitlab, project: a/b}]': /has no url/,
  'releases: [{kind: github, project: a/../../user}]': /project.*expected a number or a path/,
  "registries: [{kind: gitlab, url: 'https://x.example.com', project: ..}]":
    /project.*expected a number or a path/,
  'releases: [{kind: github, project: a/b, tag: latest}]': /expected \{version\} in it/,
  "releases: [{kind: github, project: a/b, tag: '{name}@{version}'}]": /expected no braces but/,
};

for (const [text, message] of Object.entries(wrong)) {
  test(`refuses ${text}`, () => {
    assert.throws(
      () => parseSettings(text),
      (error) =>
        error instanceof RinglockError &&
        error.code === 'invalid-file' &&
        error.exitCode === 2 &&
        error.message.includes('manifests/ringlock.yaml') &&
        message.test(error.message),
    );
  });
}
