import type { Logger } from "pino";
import {
  checkTlsFiles,
  readTlsFiles,
  TlsError,
  type TlsFiles,
  type TlsMaterial,
} from "./certificate-files.ts";

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
  readonly #files: TlsFiles;
  readonly #log: Logger;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  readonly #timer: NodeJS.Timeout;
  #held: readonly string[];
  #material: TlsMaterial;
  /** Why what the files hold now cannot serve, and whether that was told. */
  #broken = { message: "", isTold: false };
  #looking: Promise<void> | undefined;

  /** Reads the files. Rejects with a `TlsError` when they cannot serve. */
  static async open(files: TlsFiles, options: CertificatesOptions): Promise<Certificates> {
    const held = await readTlsFiles(files);
    return new Certificates(files, held, checkTlsFiles(held, Date.now()), options);
  }

  private constructor(
    files: TlsFiles,
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
