/** A form in which a secret may come back. */
export interface SecretForm {
  /** A regular expression. */
  readonly expression: string;
  /** Every text that it matches has this in it: far quicker to look for. */
  readonly mark: string;
}

/** Shorter ones are found where they stand alone: in every word they would blacken all text, and show by it. */
const shortestInWords = 6;
/** Of a longer text in base64, fewer characters than this are no evidence. */
const shortestEncoded = 8;

/**
 * A secret as it stands, percent-encoded, and escaped as in JSON or HTML; in base64 by itself, and within
 * a longer text that was encoded.
 */
export function formsOf(secret: string): SecretForm[] {
  const exact = Buffer.from(secret).toString('base64').replace(/=+$/, '');
  const alone = [
    { expression: [...secret].map(characterForms).join(''), mark: plainestPart(secret) },
    base64Form(exact),
  ];
  const within = [0, 1, 2]
    .map((before) => base64Within(secret, before))
    .filter((text) => text.length >= shortestEncoded)
    .flatMap((text) => [base64Form(text), base64Form(urlSafe(text))]);
  if (secret.length >= shortestInWords) return [...alone, ...within];
  return alone.map(({ expression, mark }) => ({
    expression: `(?<![A-Za-z0-9])${expression}(?![A-Za-z0-9])`,
    mark,
  }));
}

function base64Form(text: string): SecretForm {
  return { expression: `${escaped(text)}={0,2}`, mark: text };
}

/** What nothing escapes. */
const plainCharacters = /[\w.-]+/g;

function plainestPart(secret: string): string {
  const parts = secret.match(plainCharacters) ?? [];
  return parts.reduce((longest, part) => (part.length > longest.length ? part : longest), '');
}

/** A character as it may stand in a text, a URL, a form, JSON or HTML; each by itself, since what is escaped differs. */
function characterForms(character: string): string {
  if (/^[\w.-]$/.test(character)) return escaped(character);
  const bytes = [...Buffer.from(character)].map((byte) => `%${eitherCase(byte, 2)}`);
  const units = character.split('').map((unit) => `\\\\u${eitherCase(unit.charCodeAt(0), 4)}`);
  const forms = [
    escaped(character),
    bytes.join(''),
    units.join(''),
    escaped(JSON.stringify(character).slice(1, -1)),
    ...(otherForms[character] ?? []),
  ];
  return `(?:${[...new Set(forms)].join('|')})`;
}

const otherForms: Readonly<Record<string, readonly string[]>> = {
  ' ': ['\\+'],
  '/': ['\\\\/'],
  '&': ['&amp;'],
  '<': ['&lt;'],
  '>': ['&gt;'],
  '"': ['&quot;'],
  "'": ['&#39;'],
};

/** A number in hexadecimal, of either case. */
function eitherCase(value: number, digits: number): string {
  const text = value.toString(16).padStart(digits, '0');
  return text.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
}

/**
 * The characters in base64 that a secret alone decides where `before` bytes of a group of three stand
 * before it.
 */
function base64Within(secret: string, before: number): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
  const first = Math.ceil((before * 8) / 6);
  const last = Math.floor((bytes.length * 8) / 6);
  return bytes.toString('base64').slice(first, last);
}

function urlSafe(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_');
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
