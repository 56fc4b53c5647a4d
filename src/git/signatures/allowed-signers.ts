import { badInput, RinglockError } from '../../errors.ts';
import { parseSshPublicKey, type SshPublicKey } from './ssh-key.ts';
import { matchesPatternList } from './ssh-pattern.ts';
import { parseSshTime } from './ssh-time.ts';

/** A line of an allowed signers file (ssh-keygen(1), ALLOWED SIGNERS). */
export interface AllowedSigner {
  /** As written: patterns with commas between them. */
  readonly principals: string;
  readonly key: SshPublicKey;
  /** Patterns of what the key may sign; undefined allows everything. */
  readonly namespaces: string | undefined;
  /** Milliseconds since 1970. */
  readonly validAfter: number | undefined;
  readonly validBefore: number | undefined;
}

/**
 * Parses an allowed signers file, the same that `gpg.ssh.allowedSignersFile` names for git.
 *
 * @param path for messages
 * @throws RinglockError `invalid-allowed-signers` naming the line: a file that is only partly understood
 *   trusts nobody
 */
export function parseAllowedSigners(text: string, path: string): AllowedSigner[] {
  return text.split('\n').flatMap((line, index) => {
    const trimmed = line.replace(/\r$/, '').trim();
    if (trimmed === '' || trimmed.startsWith('#')) return [];
    try {
      return [parseLine(trimmed)];
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      throw badInput('invalid-allowed-signers', `${path} line ${index + 1}: ${error.message}`, {
        hint: 'A line is: PRINCIPALS [namespaces="git"][,valid-after="YYYYMMDD"][,valid-before="YYYYMMDD"] TYPE KEY [COMMENT]',
      });
    }
  });
}

/**
 * Who of a line a signature is said to be of. git asks ssh-keygen for each of the line's patterns as if it
 * were a name; what counts is the key.
 *
 * @param email of the committer: named rather than a pattern that it matches
 * @returns undefined when the line admits nobody, since it only excludes
 */
export function principalOf({ principals }: AllowedSigner, email: string): string | undefined {
  if (matchesPatternList(email, principals)) return email;
  return principals.split(',').find((name) => matchesPatternList(name, principals));
}

function parseLine(line: string): AllowedSigner {
  const [principals, rest] = cutWord(line);
  if (principals === '' || rest === '') throw malformed('no key is there');
  const direct = rest.split(/[ \t]+/);
  if (isKeyType(direct[0])) return { principals, ...noOptions, key: parseKey(direct) };
  const [options, key] = cutOptions(rest);
  return { principals, ...parseOptions(options), key: parseKey(key.split(/[ \t]+/)) };
}

/** The first word, which may be quoted. */
function cutWord(line: string): [string, string] {
  const [, quoted, plain, rest = ''] = /^(?:"([^"]*)"|([^\s"]+))(?:[ \t]+(.*))?$/.exec(line) ?? [];
  return [quoted ?? plain ?? '', rest];
}

/** Options reach to the first blank outside quotes. */
function cutOptions(text: string): [string, string] {
  const [options = ''] = /^(?:"(?:\\"|[^"])*"|[^\s"])+/.exec(text) ?? [];
  const key = text.slice(options.length).trim();
  if (key === '')
    throw malformed(`${JSON.stringify(text.slice(0, 40))} is neither a key nor options`);
  return [options, key];
}

type Options = Pick<AllowedSigner, 'namespaces' | 'validAfter' | 'validBefore'>;

const noOptions: Options = { namespaces: undefined, validAfter: undefined, validBefore: undefined };

function parseOptions(text: string): Options {
  const found = new Map<string, string>();
  let rest = text;
  while (rest !== '') {
    const [whole = '', name = '', value] =
      /^([a-z-]+)(?:="((?:\\"|[^"])*)")?(?:,|$)/i.exec(rest) ?? [];
    const key = name.toLowerCase();
    if (key === 'cert-authority') {
      throw malformed('cert-authority is not supported: list the keys themselves');
    }
    const isKnown = ['namespaces', 'valid-after', 'valid-before'].includes(key);
    if (!isKnown || value === undefined || value === '') {
      throw malformed(`${JSON.stringify(rest)} is not an option`);
    }
    if (found.has(key)) throw malformed(`${key} is given twice`);
    found.set(key, value.replaceAll('\\"', '"'));
    rest = rest.slice(whole.length);
  }
  const validAfter = timeOf(found.get('valid-after'));
  const validBefore = timeOf(found.get('valid-before'));
  if (validAfter !== undefined && validBefore !== undefined && validBefore <= validAfter) {
    throw malformed('valid-before is not later than valid-after');
  }
  return { namespaces: found.get('namespaces'), validAfter, validBefore };
}

function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = parseSshTime(text);
  if (time !== undefined) return time;
  throw malformed(`${JSON.stringify(text)} is no time, expected YYYYMMDD[HHMM[SS]][Z]`);
}

function parseKey([type = '', encoded = '']: readonly string[]): SshPublicKey {
  return parseSshKeyText(type, encoded);
}

/**
 * A public key as a `.pub` file has it.
 *
 * @throws RinglockError `unsupported-key`, `malformed-ssh-data`, `invalid-key-line`
 */
export function parseSshKeyText(type: string, encoded: string): SshPublicKey {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw malformed('the key is not base64');
  const key = parseSshPublicKey(Buffer.from(encoded, 'base64'));
  if (key.type !== type) throw malformed(`the key says ${key.type}, the line ${type}`);
  return key;
}

/** Whether a word is a key's type, not an option. */
export function isKeyType(word: string | undefined): boolean {
  return word !== undefined && /^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+$/.test(word);
}

function malformed(what: string): Error {
  return badInput('invalid-key-line', what);
}
