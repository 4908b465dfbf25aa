import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import type { TlsConfig } from "../config/security.ts";

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

/** Between two looks at the files. */
const pollMs = 10_000;

interface CertificatesOptions {
  readonly log: Logger;
  /** How often the files are looked at, in milliseconds. */
  readonly pollMs?: number;
}

/**
 * The certificate in use. The files are read again and again and compared by what they hold: that sees a file that
 * is written anew as well as a directory that is swapped behind a link, as Kubernetes does, on any file system.
 */
export class Certificates {
  readonly #files: TlsConfig;
  readonly #log: Logger;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  readonly #timer: NodeJS.Timeout;
  #held: readonly string[];
  #material: TlsMaterial;
  /** Why what the files hold now cannot serve, and whether that was told. */
  #broken = { message: "", isTold: false };
  #looking: Promise<void> | undefined;

  /** Reads the files. Rejects with a `TlsError` when they cannot serve. */
  static async open(files: TlsConfig, options: CertificatesOptions): Promise<Certificates> {
    const held = await readTlsFiles(files);
    return new Certificates(files, held, checkTlsFiles(held, Date.now()), options);
  }

  private constructor(
    files: TlsConfig,
    held: readonly string[],
    material: TlsMaterial,
    options: CertificatesOptions,
  ) {
    this.#files = files;
    this.#held = held;
    this.#material = material;
    this.#log = options.log;
    this.#timer = setInterval(() => this.poll(), options.pollMs ?? pollMs).unref();
    this.#log.info(material.about, "certificate in use");
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Whether clients of the internal listener must show a certificate. */
  get demandsClients(): boolean {
    return this.#files.clientCaFile !== undefined;
  }

  /** Calls `use` whenever there is another certificate. */
  onChange(use: (material: TlsMaterial) => void): void {
    this.#listeners.add(use);
  }

  /** Looks at the files now. What cannot serve is told in the log, once, and the old certificate stays in use. */
  async reload(): Promise<void> {
    await this.#looking;
    await this.#lookOnce(true);
  }

  /**
   * Looks at the files as it happens by itself from time to time. Two files cannot be written at once: what cannot
   * serve is told when it is still there at the second look.
   */
  poll(): Promise<void> {
    return this.#lookOnce(false);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #lookOnce(isComplete: boolean): Promise<void> {
    this.#looking ??= this.#look()
      .catch((failure) => this.#refuse(failure, isComplete))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const held = await readTlsFiles(this.#files);
    if (held.some((text, index) => text !== this.#held[index])) {
      const material = checkTlsFiles(held, Date.now());
      for (const use of this.#listeners) use(material);
      this.#held = held;
      this.#material = material;
      this.#log.info(material.about, "certificate in use");
    }
    this.#broken = { message: "", isTold: false };
  }

  #refuse(failure: unknown, isComplete: boolean): void {
    const message = failure instanceof TlsError ? failure.message : String(failure);
    const isNew = message !== this.#broken.message;
    if (isNew) this.#broken = { message, isTold: false };
    if (this.#broken.isTold || (isNew && !isComplete)) return;
    this.#broken.isTold = true;
    this.#log.error({ reason: message }, "the new certificate is not used");
  }
}
