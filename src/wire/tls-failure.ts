/** What it means that a server's certificate was not accepted, and what to do. */
export interface TlsFailure {
  /** Goes on after the server's name: `has a certificate that …`. */
  readonly what: string;
  readonly hint: string;
}

/** @returns undefined when the failure is of another kind */
export function tlsFailure(error: unknown): TlsFailure | undefined {
  const { code = '', host, cert, cause } = error as CertificateError;
  if (code === 'UND_ERR_PRX_TLS' && cause !== undefined) return tlsFailure(cause);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = (cert?.subjectaltname ?? '').replace(/\b(DNS|IP Address):/g, '');
    return {
      what: `has a certificate for ${names === '' ? 'another name' : names}, not for ${host ?? 'the host that was asked'}`,
      hint: 'Use the name that the certificate has, or have one issued for the name in the URL.',
    };
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return {
      what: 'has a certificate that has expired',
      hint: 'Renew it on the server; if it is good there, check the clock here.',
    };
  }
  if (code === 'CERT_NOT_YET_VALID') {
    return {
      what: 'has a certificate that is not valid yet',
      hint: 'Check the clock here, and the certificate on the server.',
    };
  }
  if (!unknownAuthority.has(code)) return undefined;
  return {
    what: `has a certificate of an authority that is not known here (${code})`,
    hint: "Give the authority's certificate with --ca-file (RINGLOCK_CA_FILE).",
  };
}

interface CertificateError {
  readonly code?: string;
  readonly host?: string;
  readonly cert?: { readonly subjectaltname?: string };
  readonly cause?: unknown;
}

/** OpenSSL's X509_V_ERR_… that a missing root or intermediate certificate gives. */
const unknownAuthority: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
