/**
 * The same text without credentials in the URLs it mentions: user information (`https://u:p@host`
 * becomes `https://***@host`) and query parameters named like a token, password or signature.
 * For every text that leaves the process or is kept: logs, errors, audit details, metrics.
 *
 * @param secrets values that must not appear at all, wherever they stand
 */
export function redact(text: string, secrets: readonly string[] = []): string {
  let result = text
    .replace(userInformation, '$1***@')
    .replace(secretParameter, (_, start: string) => `${start}***`);
  for (const secret of secrets) if (secret !== '') result = result.replaceAll(secret, '***');
  return result;
}

// The counts are bounded so that a long text without a match costs linear time.
const userInformation = /([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>`]{0,2000}@/gi;
const secretParameter =
  /([?&][\w.-]{0,40}?(?:token|password|passwd|secret|signature|sig|credential|key)=)[^&#\s"'<>`]+/gi;
