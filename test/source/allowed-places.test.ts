import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowPlaces } from '../../src/source/allowed-places.ts';

test('allows the servers and directories that the pod names, and nothing beside them', () => {
  const isAllowed = allowPlaces([
    ...['https://gitlab.example.com/api', 'ssh://git@git.example.com/platform.git'],
    ...['file:///srv/packages/', '/a/path', '', 'git@host:path'],
  ]);
  const answers: Record<string, boolean> = {
    'https://gitlab.example.com/other/a.zip': true,
    'https://gitlab.example.com:443/a.zip': true,
    'https://gitlab.example.com:8443/a.zip': false,
    'http://gitlab.example.com/a.zip': false,
    'https://gitlab.example.com.evil.example/a.zip': false,
    'https://user@evil.example/?gitlab.example.com': false,
    'ssh://git.example.com/modules/orders.git': true,
    'ssh://other.example.com/modules/orders.git': false,
    'file:///srv/packages/orders/a.zip': true,
    'file:///srv/packages-of-others/a.zip': false,
    'file:///srv/packages/../secrets/a.zip': false,
    'file:///srv/packages/%2e%2e/secrets': false,
    'http://127.0.0.1/admin': false,
    '/a/path': false,
    '': false,
  };
  for (const [url, expected] of Object.entries(answers))
    assert.equal(isAllowed(url), expected, url);
});
