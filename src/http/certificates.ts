import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import type { TlsConfig } from "../config/security.ts";

/** The content of the files. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** What the log says about the certificate. */
  readonly about: { readonly subject: string; readonly fingerprint: string; readonly validTo: string };
}

/** Files that are unusable for TLS; the message names the variable at fault and never quotes a file. */
export class TlsError extends Error {
  override readonly name = "TlsError";
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Reads the files, unchecked. Throws a `TlsError`. */
export async function readTlsFiles({ certFile, keyFile, clientCaFile }: TlsConfig): Promise<string[]> {
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

/** Lets OpenSSL check: it refuses keys that are too short, for instance. */
function assertUsable(cert: string, key: string, ca: string | undefined): void {
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch (cause) {
    throw new TlsError(`TLS_CERT_FILE and TLS_KEY_FILE cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** How often the files are read, in milliseconds. */
const defaultPollMs = 10_000;

interface CertificatesOptions {
  readonly log: Logger;
  /** How often the files are read, in milliseconds. */
  readonly pollMs?: number;
}

/**
 * The certificate in use. The files are read repeatedly and compared by content: that detects a rewritten file as well
 * as a directory that is swapped behind a link, as Kubernetes does, on any file system.
 */
export class Certificates {
  readonly #files: TlsConfig;
  readonly #log: Logger;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  readonly #timer: NodeJS.Timeout;
  #contents: readonly string[];
  #material: TlsMaterial;
  /** Why the files are unusable now, and whether that was logged. */
  #problem = { message: "", isLogged: false };
  #reading: Promise<void> | undefined;

  /** Reads the files. Rejects with a `TlsError` when they are unusable. */
  static async open(files: TlsConfig, options: CertificatesOptions): Promise<Certificates> {
    const contents = await readTlsFiles(files);
    return new Certificates(files, contents, checkTlsFiles(contents, Date.now()), options);
  }

  private constructor(
    files: TlsConfig,
    contents: readonly string[],
    material: TlsMaterial,
    options: CertificatesOptions,
  ) {
    this.#files = files;
    this.#contents = contents;
    this.#material = material;
    this.#log = options.log;
    this.#timer = setInterval(() => this.poll(), options.pollMs ?? defaultPollMs).unref();
    this.#log.info(material.about, "certificate in use");
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Whether clients of the internal listener must present a certificate. */
  get demandsClients(): boolean {
    return this.#files.clientCaFile !== undefined;
  }

  /** Calls `use` after each change of the certificate. */
  onChange(use: (material: TlsMaterial) => void): void {
    this.#listeners.add(use);
  }

  /** Reads the files now. A problem is logged once, and the old certificate stays in use. */
  async reload(): Promise<void> {
    await this.#reading;
    await this.#readOnce(true);
  }

  /** Reads the files as the timer does: two files cannot be written at once, so a problem is logged when it persists. */
  poll(): Promise<void> {
    return this.#readOnce(false);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #readOnce(isComplete: boolean): Promise<void> {
    this.#reading ??= this.#read()
      .catch((failure) => this.#report(failure, isComplete))
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const contents = await readTlsFiles(this.#files);
    if (contents.some((text, index) => text !== this.#contents[index])) {
      const material = checkTlsFiles(contents, Date.now());
      for (const use of this.#listeners) use(material);
      this.#contents = contents;
      this.#material = material;
      this.#log.info(material.about, "certificate in use");
    }
    this.#problem = { message: "", isLogged: false };
  }

  #report(failure: unknown, isComplete: boolean): void {
    const message = failure instanceof TlsError ? failure.message : String(failure);
    const isNew = message !== this.#problem.message;
    if (isNew) this.#problem = { message, isLogged: false };
    if (this.#problem.isLogged || (isNew && !isComplete)) return;
    this.#problem.isLogged = true;
    this.#log.error({ reason: message }, "the new certificate is not used");
  }
}
