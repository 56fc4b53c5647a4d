import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from './temporary.ts';

const program = 'openssl';

/** Why no certificates can be made here; undefined when they can. */
export function opensslMissing(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  return spawnSync(program, ['version']).error === undefined
    ? undefined
    : 'openssl is not installed';
}

/** Texts in PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
}

export interface CertificateAuthority {
  /** The file with its certificate. */
  readonly file: string;
  /** @param names as openssl's subjectAltName has them: `DNS:localhost,IP:127.0.0.1` */
  issue(names: string, days?: number): ServerCertificate;
}

/** An authority of the test's own, made by openssl. */
export function createAuthority(t: TestContext, name = 'Test authority'): CertificateAuthority {
  const directory = temporaryDirectory(t, 'ca');
  const at = (file: string) => join(directory, file);
  const openssl = (...args: string[]) => execFileSync(program, args, { stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const root = ['-x509', '-days', '2', '-subj', `/CN=${name}`];
  openssl('req', ...root, ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'));
  let issued = 0;
  return {
    file: at('ca.pem'),
    issue: (names, days = 1) => {
      const base = at(`server-${++issued}`);
      const request = ['-subj', '/CN=server', '-keyout', `${base}.key`, '-out', `${base}.csr`];
      openssl('req', ...newKey, ...request);
      writeFileSync(`${base}.ext`, `subjectAltName=${names}\n`);
      const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
      const what = ['-in', `${base}.csr`, '-extfile', `${base}.ext`, '-out', `${base}.pem`];
      openssl('x509', '-req', ...what, ...signer, '-days', String(days));
      return {
        key: readFileSync(`${base}.key`, 'utf8'),
        cert: readFileSync(`${base}.pem`, 'utf8'),
      };
    },
  };
}
