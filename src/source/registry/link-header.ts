/** The `rel="next"` of a `Link` header (RFC 8288), on the same server. */
export function nextLink(header: string | string[] | undefined, url: URL): URL | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '');
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(text)?.[1];
  if (target === undefined || !URL.canParse(target, url.href)) return undefined;
  const { pathname, search } = new URL(target, url);
  // A registry behind a proxy may name itself as it is called inside; and it is sent a token.
  const next = new URL(url.origin);
  next.pathname = pathname;
  next.search = search;
  return next;
}
