import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type CertificateAuthority, createAuthority } from './certificates.ts';
import { onEnd } from './cleanup.ts';
import type { TokenAuth } from './docker-registry.ts';

/** A token server as distribution's "Token Authentication Specification" has it. */
export interface TokenServer {
  readonly auth: TokenAuth;
  /** The query of every request, and the credentials that came with it. */
  readonly asked: { readonly scope: string | null; readonly authorization: string | undefined }[];
  /** How long its tokens live from here on, in seconds. */
  lifeSeconds: number;
}

/**
 * @param accepted the `Authorization` header that gets push; without credentials only pull is given when
 *   `anonymousPull`
 */
export async function startTokenServer(
  t: TestContext,
  accepted: string,
  anonymousPull = false,
): Promise<TokenServer> {
  const authority: CertificateAuthority = createAuthority(t, 'Token signer');
  const signer = authority.issue('DNS:tokens');
  const asked: TokenServer['asked'] = [];
  const service = 'registry.test';
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://tokens').searchParams;
    const scope = query.get('scope');
    const { authorization } = request.headers;
    asked.push({ scope, authorization });
    const isKnown = authorization === accepted;
    if (!isKnown && !(anonymousPull && authorization === undefined)) {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return;
    }
    const [type, name, actions = ''] = (scope ?? '').split(':');
    const given = actions.split(',').filter((action) => isKnown || action === 'pull');
    const token = signToken(signer, [{ type, name, actions: given }], service, tokens.lifeSeconds);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token, expires_in: tokens.lifeSeconds }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  const auth = { realm, service, issuer: 'test-issuer', rootCertificates: authority.file };
  const tokens: TokenServer = { auth, asked, lifeSeconds: 300 };
  return tokens;
}

/** A JSON web token (RFC 7519) signed with ES256, the certificate in its header (RFC 7515, 4.1.6). */
function signToken(
  { key, cert }: { readonly key: string; readonly cert: string },
  access: readonly object[],
  service: string,
  lifeSeconds: number,
): string {
  const der = cert.replace(/-----[A-Z ]+-----|\s/g, '');
  const now = Math.floor(Date.now() / 1000);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = encode({ typ: 'JWT', alg: 'ES256', x5c: [der] });
  const claims = encode({
    ...{ iss: 'test-issuer', sub: 'publisher', aud: service, jti: randomUUID(), access },
    ...{ iat: now - 10, nbf: now - 10, exp: now + lifeSeconds },
  });
  const signature = sign('sha256', Buffer.from(`${header}.${claims}`), {
    key: createPrivateKey(key),
    dsaEncoding: 'ieee-p1363',
  });
  return `${header}.${claims}.${signature.toString('base64url')}`;
}
