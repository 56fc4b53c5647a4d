/** A URL for display: without user info, and without a query or fragment, which may carry a token. */
export function redactUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // Not a URL (a path, or scp-like text): only what stands before an @ can be a secret.
    return url.replace(/^[^/@]*@/, '');
  }
  parsed.username = '';
  parsed.password = '';
  parsed.search = '';
  parsed.hash = '';
  return parsed.href.replace(/\/+$/, '');
}

/** A text from elsewhere (a server's message) without any of the secrets, and of bearable length. */
export function redactText(text: string, secrets: readonly string[], maxLength = 300): string {
  let redacted = text;
  for (const secret of secrets) {
    // Shorter ones would blacken ordinary words.
    if (secret.length >= 4) redacted = redacted.replaceAll(secret, '***');
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a server must not steer the terminal
  const plain = redacted.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').trim();
  return plain.length > maxLength ? `${plain.slice(0, maxLength - 1)}…` : plain;
}
