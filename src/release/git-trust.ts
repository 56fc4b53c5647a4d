import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GitRepository, tryGit } from '../git/git-command.ts';
import { readCertificateAuthorities, trustedAlso } from '../wire/certificate-authorities.ts';

/** How git is to reach servers: variables for its environment. */
export interface GitTrust {
  readonly variables: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * What git trusts and which ssh it starts. What a person's git is told already stays so: GIT_SSH_COMMAND, GIT_SSH,
 * `core.sshCommand`, GIT_SSL_CAINFO, `http.sslCAInfo`. Else ssh asks nothing, and RINGLOCK_CA_FILE is trusted
 * besides the usual authorities.
 *
 * @throws RinglockError `ca-file-unreadable`, `ca-file-invalid`
 */
export async function openGitTrust(
  repository: GitRepository,
  environment: NodeJS.ProcessEnv,
): Promise<GitTrust> {
  const caFile = environment['RINGLOCK_CA_FILE'];
  const isTrustSaid =
    environment['GIT_SSL_CAINFO'] || (await configOf(repository, 'http.sslCAInfo')) !== '';
  const variables = await sshVariables(repository, environment);
  if (!caFile || isTrustSaid) return { variables, close: async () => {} };
  // git takes one file in the place of its own.
  const bundle = await bundleOf(caFile, environment);
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-trust-'));
  const path = join(directory, 'authorities.pem');
  await writeFile(path, bundle);
  return {
    variables: { ...variables, GIT_SSL_CAINFO: path },
    close: () => rm(directory, { recursive: true, force: true }),
  };
}

async function sshVariables(
  repository: GitRepository,
  environment: NodeJS.ProcessEnv,
): Promise<Record<string, string>> {
  const said = environment['GIT_SSH_COMMAND'] || (await configOf(repository, 'core.sshCommand'));
  if (said) return { GIT_SSH_COMMAND: said };
  return environment['GIT_SSH'] ? {} : { GIT_SSH_COMMAND: 'ssh -o BatchMode=yes' };
}

async function configOf({ topLevel }: GitRepository, name: string): Promise<string> {
  return (await tryGit(topLevel, ['config', '--get', name])).stdout.toString().trim();
}

/** Where distributions keep the authorities that their programs trust, a company's own among them. */
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

async function bundleOf(caFile: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const authorities = await readCertificateAuthorities(caFile);
  const texts = [...(await trustedAlso(authorities, environment))];
  for (const path of systemBundles) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    texts.push(text);
    break;
  }
  return `${texts.join('\n')}\n`;
}
