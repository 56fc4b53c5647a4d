import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextLink } from '../../../src/source/registry/link-header.ts';

test('the next page is one of the same server, whatever a listing says', () => {
  const url = new URL('https://registry.example.com/v2/a/tags/list?n=2');
  for (const [target, expected] of [
    [
      '/v2/a/tags/list?n=2&last=b%2Bc',
      'https://registry.example.com/v2/a/tags/list?n=2&last=b%2Bc',
    ],
    ['http://inside:5000/v2/next', 'https://registry.example.com/v2/next'],
    ['https://registry.example.com:8443/v2/next', 'https://registry.example.com/v2/next'],
    ['https://user:pass@evil.example/v2/next', 'https://registry.example.com/v2/next'],
    ['https://x//evil.example/v2', 'https://registry.example.com//evil.example/v2'],
    ['//evil.example/v2', 'https://registry.example.com/v2'],
  ] as const) {
    assert.equal(nextLink(`<${target}>; rel="next"`, url)?.href, expected);
  }
  assert.equal(new URL(nextLink('<foo://evil/x>; rel=next', url) ?? '').origin, url.origin);
  assert.equal(nextLink('<https://[>; rel=next', url), undefined);
  assert.equal(nextLink('</v2/a>; rel="prev"', url), undefined);
});
