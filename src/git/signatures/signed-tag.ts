import { refused } from '../../errors.ts';

/** A tag object taken apart for the check of its signature. */
export interface SignedTag {
  /** What it names, a commit. */
  readonly object: string;
  /** What the signature is over, byte for byte. */
  readonly payload: Buffer;
  /** Armored; undefined when the tag is unsigned. */
  readonly signature: string | undefined;
  readonly tagger: { readonly email: string; readonly time: number };
  /** Without the signature. */
  readonly message: string;
}

const longestTag = 1_048_576;
const head =
  /^object ([0-9a-f]{40})\ntype commit\ntag [^\n]+\ntagger [^<>\n]*<([^<>\n]*)> (\d{1,12}) [+-]\d{4}\n\n/;
const armor = /^-----BEGIN (?:SSH SIGNATURE|PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE)-----$/gm;

/**
 * Takes the tag object of a commit apart: the signature is what stands at its end (gpg-interface.c,
 * parse_signed_buffer). What git would not write, or what has two signatures, is refused.
 *
 * @throws RinglockError `tag-malformed`
 */
export function parseSignedTag(content: Buffer): SignedTag {
  if (content.includes(0)) throw malformed('it has a NUL byte');
  if (content.length > longestTag) throw malformed(`it has ${content.length} bytes`);
  const text = content.toString('latin1');
  const match = head.exec(text);
  if (match === null) throw malformed('its headers are not those of a tag of a commit');
  const [whole, object = '', email = '', seconds = '0'] = match;
  const starts = [...text.matchAll(armor)].map(({ index }) => index);
  if (starts.length > 1) throw malformed('it has more than one signature');
  const [start = text.length] = starts;
  if (start < whole.length) throw malformed('its signature stands among its headers');
  return {
    object,
    payload: content.subarray(0, start),
    signature: start === text.length ? undefined : text.slice(start),
    tagger: { email: Buffer.from(email, 'latin1').toString('utf8'), time: Number(seconds) * 1000 },
    message: content.subarray(whole.length, start).toString('utf8'),
  };
}

function malformed(what: string): Error {
  return refused('tag-malformed', `it is not as git writes a tag: ${what}`);
}
