import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkTlsFiles, readTlsFiles, TlsError } from "../../../src/http/certificates.ts";
import {
  canMakeCertificates,
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../support/certificates.ts";

const day = 86_400_000;

describe("TLS certificate files", () => {
  let authority: TestAuthority;
  let server: TestCertificate;
  let folder: string;
  before(function () {
    if (!canMakeCertificates) return this.skip();
    authority = makeAuthority("An authority");
    server = authority.sign("server");
    folder = mkdtempSync(join(tmpdir(), "privacy-control-tls-"));
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  function problem(texts: readonly string[], now = Date.now()): string {
    try {
      checkTlsFiles(texts, now);
    } catch (failure) {
      if (failure instanceof TlsError) return failure.message;
      throw failure;
    }
    return "";
  }

  it("are accepted with a chain and a client CA, and described by public facts alone", () => {
    const { about } = checkTlsFiles(
      [server.cert + authority.cert, server.key, authority.cert + authority.cert],
      Date.now(),
    );
    expect(about.subject).to.equal("CN=server");
    expect(Object.keys(about)).to.eql(["subject", "fingerprint", "validTo"]);
  });

  it("are refused with the name of the variable at fault, without their content", () => {
    const encrypted = execFileSync(
      "openssl",
      ["pkcs8", "-topk8", "-in", server.keyFile, "-passout", "pass:hunter2"],
      { encoding: "utf8", stdio: "pipe" },
    );
    const { cert, key } = server;
    const garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const cases: [texts: string[], expected: RegExp][] = [
      [["", key], /^TLS_CERT_FILE holds no certificate$/],
      [["nonsense", key], /^TLS_CERT_FILE holds no certificate$/],
      [[garbled, key], /^TLS_CERT_FILE holds a certificate that cannot be parsed$/],
      [[cert, ""], /^TLS_KEY_FILE holds no private key/],
      [[cert, cert], /^TLS_KEY_FILE holds no private key/],
      [[cert, encrypted], /^TLS_KEY_FILE holds no private key, or one with a passphrase$/],
      [[cert, authority.key], /^TLS_KEY_FILE holds another key/],
      [[cert, key, ""], /^TLS_CLIENT_CA_FILE holds no certificate$/],
      [[cert, key, garbled], /^TLS_CLIENT_CA_FILE holds a certificate that cannot be parsed$/],
    ];
    for (const [texts, expected] of cases) expect(problem(texts)).to.match(expected);
  });

  it("are refused outside of the certificate's validity", () => {
    const texts = [server.cert, server.key];
    expect(problem(texts)).to.equal("");
    expect(problem(texts, Date.now() + 2 * day)).to.match(/^TLS_CERT_FILE holds .* expired at 2/);
    expect(problem(texts, Date.now() - day)).to.match(/^TLS_CERT_FILE holds .* begins at 2/);
  });

  it("are refused when one cannot be read", async () => {
    const missing = join(folder, "missing");
    const present = join(folder, "present");
    writeFileSync(present, "");
    for (const [files, name] of [
      [{ certFile: missing, keyFile: present, clientCaFile: undefined }, "TLS_CERT_FILE"],
      [{ certFile: present, keyFile: missing, clientCaFile: undefined }, "TLS_KEY_FILE"],
      [{ certFile: present, keyFile: present, clientCaFile: folder }, "TLS_CLIENT_CA_FILE"],
    ] as const) {
      const failure = await readTlsFiles(files).catch((error) => error);
      expect(failure).to.be.instanceOf(TlsError);
      expect(failure.message).to.match(new RegExp(`^${name} cannot be read: `));
    }
  });
});
