import { badInput } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';

/** Where a repository is on a server of SSH. */
export interface SshAddress {
  readonly user: string;
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** As git-upload-pack takes it: `/srv/platform.git`, `~user/platform.git`, `group/platform.git`. */
  readonly path: string;
  /** For messages: without the user. */
  readonly display: string;
}

const defaultPort = 22;

/** `user@host:path`, as git takes it; `ssh://` URLs are URLs. */
export function isScpLike(text: string): boolean {
  return scpLike.test(text);
}

const scpLike = /^([^/@:]+)@(\[[^\]/]+\]|[^/:[\]]+):(?!\/\/)(.*)$/s;

/**
 * @param text `ssh://user@host[:port]/path` (percent-decoded, as git does) or `user@host:path`
 * @throws RinglockError `unsupported-url`
 */
export function parseSshAddress(text: string): SshAddress {
  const display = redactUrl(text);
  const parts = /^ssh:\/\//i.test(text) ? partsOfUrl(text) : partsOfScpLike(text);
  if (parts === undefined) {
    throw unsupported(display, 'is no address of a repository');
  }
  const { user, password, host, port, path } = parts;
  if (password !== '') {
    throw unsupported(display, 'has a password, which is not used', {
      hint: 'Give a key with --ssh-key, and an address without a password.',
    });
  }
  if (user === '') {
    throw unsupported(display, 'does not say whose account to use', {
      hint: 'Name the user, as in ssh://git@…; forges expect git.',
    });
  }
  requireHarmless(user, 'user', display);
  requireHarmless(host, 'host', display);
  requireHarmless(path, 'path', display);
  if (!/^[a-z0-9._:-]+$/.test(host)) throw unsupported(display, 'has an impossible host name');
  return { user, host, port, path, display };
}

interface AddressParts {
  readonly user: string;
  readonly password: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

function partsOfUrl(text: string): AddressParts | undefined {
  try {
    // URL itself would drop line breaks and tabs, and so read another address than was given.
    const url = new URL(hasControlCharacter(text) ? '' : text);
    // Nor does git know of queries, or of `..` that takes a part before away.
    const path = decodeURIComponent(text.replace(/^ssh:\/\/[^/]*/i, ''));
    return {
      user: decodeURIComponent(url.username),
      password: url.password,
      host: withoutBrackets(url.hostname),
      port: url.port === '' ? defaultPort : Number(url.port),
      path: fromHome(path),
    };
  } catch {
    return undefined;
  }
}

function partsOfScpLike(text: string): AddressParts | undefined {
  const [, user, host, path] = scpLike.exec(text) ?? [];
  if (user === undefined || host === undefined || path === undefined) return undefined;
  const port = defaultPort;
  return { user, password: '', host: withoutBrackets(host), port, path: fromHome(path) };
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
}

/** `/~user/x` means below that user's home directory. */
function fromHome(path: string): string {
  return path.startsWith('/~') ? path.slice(1) : path;
}

/** What could be taken for an option, or end a line, on either side. */
function requireHarmless(value: string, what: string, display: string): void {
  if (value === '' || value === '/') throw unsupported(display, `has no ${what}`);
  if (value.startsWith('-')) {
    throw unsupported(display, `has a ${what} that starts with a dash, like an option`);
  }
  if (hasControlCharacter(value)) {
    throw unsupported(display, `has a control character in its ${what}`);
  }
}

function hasControlCharacter(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return /[\x00-\x1f\x7f]/.test(text);
}

function unsupported(display: string, what: string, options?: { readonly hint: string }): Error {
  return badInput(
    'unsupported-url',
    `${JSON.stringify(display)} ${what}, expected ssh://user@host[:port]/path or user@host:path`,
    options,
  );
}

/** The command for the server's shell; `!` is for those whose shell is csh. */
export function uploadPackCommand(path: string): string {
  return `git-upload-pack '${path.replace(/['!]/g, (character) => `'\\${character}'`)}'`;
}
