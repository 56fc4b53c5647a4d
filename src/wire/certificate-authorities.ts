import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as tls from 'node:tls';
import { environmentFailed } from '../errors.ts';

/**
 * The certificates that a file adds to the roots node trusts (NODE_EXTRA_CA_CERTS among them), as they
 * stand in it now.
 *
 * @returns PEM texts, one certificate each
 * @throws RinglockError `ca-file-unreadable`, `ca-file-invalid`
 */
export async function readCertificateAuthorities(path: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw environmentFailed('ca-file-unreadable', `the CA file ${path} cannot be read: ${reason}`, {
      hint: 'Mount the certificates there, or give another --ca-file (RINGLOCK_CA_FILE).',
    });
  }
  const certificates = text.match(pemCertificate) ?? [];
  if (certificates.length === 0) throw invalid(path, 'has no certificate in it');
  for (const [index, certificate] of certificates.entries()) {
    if (!isCertificate(certificate))
      throw invalid(path, `has a broken certificate, number ${index + 1}`);
  }
  return certificates;
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

function invalid(path: string, what: string): Error {
  return environmentFailed(
    'ca-file-invalid',
    `the CA file ${path} ${what}, expected PEM certificates`,
    {
      hint: 'It begins with -----BEGIN CERTIFICATE-----; convert DER with: openssl x509 -inform der.',
    },
  );
}

/** What TLS trusts when these authorities are added to node's. */
export async function trustAlso(
  authorities: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<tls.SecureContext> {
  return tls.createSecureContext({ ca: [...(await trustedAlso(authorities, environment))] });
}

/** Node's own authorities and these, PEM texts. */
export async function trustedAlso(
  authorities: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  return [...(await nodesOwn(environment)), ...authorities];
}

/** To give node any list replaces its own whole. */
async function nodesOwn(environment: NodeJS.ProcessEnv): Promise<readonly string[]> {
  // Since node 22.15; @types/node of 20 does not know it.
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] };
  if (getCACertificates !== undefined) return getCACertificates('default');
  const extra = environment['NODE_EXTRA_CA_CERTS'];
  // Node itself goes on without a file that it cannot read.
  const text = extra ? await readFile(extra, 'utf8').catch(() => '') : '';
  return [...tls.rootCertificates, ...(text.match(pemCertificate) ?? [])];
}
