import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Certificates } from "../../src/http/certificates.ts";
import type { ListenTls } from "../../src/http/listen.ts";
import { findProgram, isNeeded } from "./programs.ts";

/** A certificate in PEM, and where it lies. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** An authority that signs what tests need. */
export interface TestAuthority extends TestCertificate {
  /** Signs a certificate for `localhost` and 127.0.0.1, good for servers and clients. */
  sign(name: string): TestCertificate;
}

const folders: string[] = [];

/** Whether certificates can be made here: it takes the openssl program. */
export const canMakeCertificates = isNeeded("openssl", findProgram("openssl")) !== undefined;

/** Makes an authority of its own. */
export function makeAuthority(name: string): TestAuthority {
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-tls-"));
  folders.push(folder);
  const path = (file: string) => join(folder, file);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const read = (base: string): TestCertificate => {
    const certFile = path(`${base}.pem`);
    const keyFile = path(`${base}.key`);
    return {
      certFile,
      keyFile,
      cert: readFileSync(certFile, "utf8"),
      key: readFileSync(keyFile, "utf8"),
    };
  };
  let serial = 0;
  openssl(
    ...["req", "-x509", ...newKey, "-days", "2", "-subj", `/CN=${name}`],
    ...["-keyout", path("ca.key"), "-out", path("ca.pem")],
  );
  return {
    ...read("ca"),
    sign(subject) {
      serial += 1;
      const base = `${subject}-${serial}`;
      openssl(
        ...["req", "-new", ...newKey, "-subj", `/CN=${subject}`],
        ...["-keyout", path(`${base}.key`), "-out", path(`${base}.csr`)],
      );
      writeFileSync(path("extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
      openssl(
        ...["x509", "-req", "-in", path(`${base}.csr`), "-CA", path("ca.pem"), "-CAkey", path("ca.key")],
        ...["-set_serial", String(serial), "-days", "1", "-extfile", path("extensions")],
        ...["-out", path(`${base}.pem`)],
      );
      return read(base);
    },
  };
}

/** What a listener needs to speak TLS; with a client CA it demands certificates of its clients. */
export async function listenTls(
  { certFile, keyFile }: TestCertificate,
  clientCaFile?: string,
): Promise<ListenTls> {
  const log = pino({ level: "silent" });
  const certificates = await Certificates.open({ certFile, keyFile, clientCaFile }, { log });
  return { certificates, demandsClients: clientCaFile !== undefined };
}

process.once("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
