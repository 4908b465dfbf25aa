import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** The PEM files by which listeners speak TLS. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who signs the certificates of clients; undefined when none are demanded. */
  readonly clientCaFile: string | undefined;
}

/** What the files hold. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** What is said of the certificate in the log. */
  readonly about: { readonly subject: string; readonly fingerprint: string; readonly validTo: string };
}

/** Files that cannot serve for TLS; the message names the variable at fault and never tells what a file holds. */
export class TlsError extends Error {
  override readonly name = "TlsError";
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Reads the files, unchecked. Throws a `TlsError`. */
export async function readTlsFiles({ certFile, keyFile, clientCaFile }: TlsFiles): Promise<string[]> {
  return Promise.all([
    read("TLS_CERT_FILE", certFile),
    read("TLS_KEY_FILE", keyFile),
    ...(clientCaFile === undefined ? [] : [read("TLS_CLIENT_CA_FILE", clientCaFile)]),
  ]);
}

/**
 * Checks what the files hold: that everything can be parsed, that the key is the certificate's, and that the
 * certificate is valid at the time `now` (in milliseconds). Throws a `TlsError`.
 */
export function checkTlsFiles([cert = "", key = "", clientCa]: readonly string[], now: number): TlsMaterial {
  const [leaf] = certificates("TLS_CERT_FILE", cert);
  if (leaf === undefined) throw new TlsError("TLS_CERT_FILE holds no certificate");
  if (!leaf.checkPrivateKey(privateKey(key)))
    throw new TlsError("TLS_KEY_FILE holds another key than that of the certificate in TLS_CERT_FILE");
  const { validFromDate, validToDate } = leaf;
  if (now > validToDate.getTime())
    throw new TlsError(`TLS_CERT_FILE holds a certificate that expired at ${validToDate.toISOString()}`);
  if (now < validFromDate.getTime())
    throw new TlsError(`TLS_CERT_FILE holds a certificate that begins at ${validFromDate.toISOString()}`);
  if (clientCa !== undefined && certificates("TLS_CLIENT_CA_FILE", clientCa).length === 0)
    throw new TlsError("TLS_CLIENT_CA_FILE holds no certificate");
  assertUsable(cert, key, clientCa);
  return {
    cert,
    key,
    clientCa,
    about: {
      subject: leaf.subject,
      fingerprint: leaf.fingerprint256,
      validTo: validToDate.toISOString(),
    },
  };
}

async function read(variable: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new TlsError(`${variable} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function certificates(variable: string, pem: string): X509Certificate[] {
  try {
    return (pem.match(pemCertificate) ?? []).map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new TlsError(`${variable} holds a certificate that cannot be parsed`, { cause });
  }
}

function privateKey(pem: string) {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TlsError("TLS_KEY_FILE holds no private key, or one with a passphrase", { cause });
  }
}

/** Lets TLS itself judge: it refuses keys that are too short, for instance. */
function assertUsable(cert: string, key: string, ca: string | undefined): void {
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch (cause) {
    throw new TlsError(`TLS_CERT_FILE and TLS_KEY_FILE cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}
