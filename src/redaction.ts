import { formsOf, type SecretForm } from './secret-forms.ts';

/**
 * The same text without what must not leave the process: every secret that this process has read
 * (registerSecret()), in whatever form it may come back, credentials in URLs and in authorization
 * headers. For every text that is shown, logged, kept or sent: errors, logs, the status, audit events.
 */
export function redact(text: string): string {
  return withoutKnownSecrets(text)
    .replace(userInformation, '$1***@')
    .replace(secretParameter, (_, start: string) => `${start}***`)
    .replace(authorizationHeader, (_, start: string) => `${start}***`);
}

/** The same plain data with every string in it redacted, at any depth, but for the names of properties. */
export function redactValues<T>(value: T): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map(redactValues) as T;
  if (typeof value !== 'object' || value === null) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, held]) => [key, redactValues(held)]),
  ) as T;
}

/**
 * A text from elsewhere (a server's message) on one line: redacted, without what steers a terminal, and
 * of bearable length.
 */
export function redactLine(text: string, maxLength = 300): string {
  const plain = redact(text)
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  return plain.length > maxLength ? `${plain.slice(0, maxLength - 1)}…` : plain;
}

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

// The counts are bounded so that a long text without a match costs linear time.
const userInformation = /([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>`]{0,2000}@/gi;
const secretParameter =
  /([?&][\w.-]{0,40}?(?:token|password|passwd|secret|signature|sig|credential|key)=)[^&#\s"'<>`]+/gi;
const authorizationHeader =
  /((?:authorization|private-token|job-token|[a-z-]{0,20}api-key)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?:(?:basic|bearer|token)[ \t]{1,4})?|\b(?:basic|bearer)[ \t]{1,4}(?=[\w+/=.~-]{20}))[^\s"',;]{1,8000}/gi;

/**
 * From here on redact() hides this value: as it stands, in base64 (also within a longer text that was
 * encoded, as a header's `user:password` is), percent-encoded and escaped as in JSON. A value that is a
 * URL brings the password, or the token in a user's place, and the parameters named like secrets that
 * it carries; a text of several lines (a key) brings each of its lines.
 *
 * The set is the process's, not an argument (decision 0014): a value is read in one place and may leave
 * by any. One that was rotated stays hidden, since old texts and servers still know it.
 */
export function registerSecret(value: string | undefined): void {
  for (const secret of secretsIn(value ?? '')) {
    const forms = secrets.get(secret) ?? formsOf(secret);
    // The newest are kept: a token that changes every minute must not fill the memory.
    secrets.delete(secret);
    secrets.set(secret, forms);
    if (secrets.size > mostSecrets) secrets.delete(secrets.keys().next().value ?? '');
  }
}

/** Registers what a URL carries; nothing of a text that is none, as a path. */
export function registerUrl(text: string | undefined): void {
  if (text !== undefined && isUrl.test(text)) registerSecret(text);
}

const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i;

const mostSecrets = 500;
/** Every known secret, the one that was read last at the end. */
const secrets = new Map<string, readonly SecretForm[]>();
/** A line of a key that is shorter is no secret. */
const shortestLine = 8;

function secretsIn(value: string): string[] {
  const text = value.trim();
  if (text === '') return [];
  // A URL that carries none is no secret by itself.
  if (isUrl.test(text)) return secretsOfUrl(text);
  const lines = text.split(/\r?\n/);
  if (lines.length === 1) return [text];
  return [text, ...lines.filter((line) => line.length >= shortestLine && !/^-{5}/.test(line))];
}

function secretsOfUrl(given: string): string[] {
  if (!URL.canParse(given)) return [given];
  const { protocol, username, password, searchParams } = new URL(given);
  const isToken = /^https?:$/.test(protocol) && password === '' && username.length >= shortestToken;
  const own = isToken ? username : password;
  const named = [...searchParams].filter(([name]) => secretParameterName.test(name));
  // As a header has it.
  const pair = password === '' ? '' : `${decoded(username)}:${decoded(password)}`;
  return [own, decoded(own), pair, ...named.map(([, value]) => value)].filter(
    (text) => text !== '',
  );
}

/** Where only a user is given: shorter ones are names. */
const shortestToken = 16;
const secretParameterName = /(?:token|password|passwd|secret|signature|sig|credential|key)$/i;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function withoutKnownSecrets(text: string): string {
  const found = [...secrets].filter(([, forms]) => forms.some(({ mark }) => text.includes(mark)));
  if (found.length === 0) return text;
  // The longest first, so that a secret that begins with another one is hidden whole.
  found.sort(([a], [b]) => b.length - a.length);
  const expressions = found.flatMap(([, forms]) => forms.map(({ expression }) => expression));
  return text.replace(new RegExp(expressions.join('|'), 'g'), '***');
}
