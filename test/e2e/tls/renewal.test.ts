import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "chai";
import { pino } from "pino";
import { Certificates } from "../../../src/http/certificates.ts";
import {
  canMakeCertificates,
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../support/certificates.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const request = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

describe("a listener whose certificate is renewed", () => {
  let authority: TestAuthority;
  let folder: string;
  let lines: { msg: string; reason?: string }[];
  let certificates: Certificates;
  let server: TestServer;
  before(function () {
    if (!canMakeCertificates) return this.skip();
    authority = makeAuthority("An authority");
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-tls-"));
    lines = [];
  });
  afterEach(async () => {
    certificates?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const path = (name: string) => join(folder, name);
  const files = (of = "") => ({
    certFile: path(`${of}tls.crt`),
    keyFile: path(`${of}tls.key`),
    clientCaFile: undefined,
  });
  function place({ cert, key }: TestCertificate, of = ""): void {
    writeFileSync(path(`${of}tls.crt`), cert);
    writeFileSync(path(`${of}tls.key`), key);
  }
  async function start(of = "", pollMs = 5): Promise<void> {
    const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    certificates = await Certificates.open(files(of), { log, pollMs });
    server = await startTestServer({ listener: "public", tls: { certificates, demandsClients: false } });
  }
  const errors = () => lines.filter(({ reason }) => reason !== undefined).map(({ reason }) => reason ?? "");
  const changed = () => new Promise<void>((resolve) => certificates.onChange(() => resolve()));

  async function open() {
    const socket = connect({ port: server.listener.port, ca: authority.cert });
    await once(socket, "secureConnect");
    return socket;
  }
  async function certificateNow(): Promise<string> {
    const socket = await open();
    const name = String(socket.getPeerCertificate().subject.CN);
    socket.destroy();
    return name;
  }

  it("presents the new one on new connections, and keeps the open ones", async () => {
    place(authority.sign("first"));
    await start();
    const early = await open();
    const change = changed();
    place(authority.sign("second"));
    await change;
    expect(await certificateNow()).to.equal("second");
    early.write(request);
    const [answer] = await once(early, "data");
    expect(String(answer)).to.match(/^HTTP\/1\.1 418 /);
    expect(early.getPeerCertificate().subject.CN).to.equal("first");
    early.destroy();
  });

  it("follows a directory that Kubernetes swaps behind a link", async () => {
    for (const version of ["first", "second"]) {
      mkdirSync(path(`..${version}`));
      place(authority.sign(version), `..${version}/`);
    }
    symlinkSync("..first", path("..data"));
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(join("..data", name), path(name));
    await start();
    expect(await certificateNow()).to.equal("first");
    const change = changed();
    symlinkSync("..second", path("..new"));
    renameSync(path("..new"), path("..data"));
    await change;
    expect(await certificateNow()).to.equal("second");
  });

  it("keeps the old one when the new pair is unusable, logs it once, and uses the next valid one", async () => {
    place(authority.sign("first"));
    await start("", 60_000);
    const broken = [
      () => writeFileSync(path("tls.key"), authority.sign("other").key),
      () => writeFileSync(path("tls.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
      () => rmSync(path("tls.crt")),
    ];
    for (const [index, spoil] of broken.entries()) {
      spoil();
      await certificates.reload();
      await certificates.reload();
      expect(errors()).to.have.length(index + 1);
      expect(await certificateNow()).to.equal("first");
    }
    expect(errors()[0]).to.contain("TLS_KEY_FILE");
    expect(errors()[1]).to.contain("TLS_CERT_FILE");
    expect(errors()[2]).to.contain("TLS_CERT_FILE cannot be read");
    place(authority.sign("second"));
    await certificates.reload();
    expect(await certificateNow()).to.equal("second");
  });

  it("logs nothing about a pair that was half written at one poll", async () => {
    place(authority.sign("first"));
    await start("", 60_000);
    const next = authority.sign("second");
    writeFileSync(path("tls.crt"), next.cert);
    await certificates.poll();
    expect(errors()).to.eql([]);
    writeFileSync(path("tls.key"), next.key);
    await certificates.poll();
    expect(errors()).to.eql([]);
    expect(await certificateNow()).to.equal("second");
    writeFileSync(path("tls.key"), authority.sign("other").key);
    for (let polls = 0; polls < 3; polls++) await certificates.poll();
    expect(errors()).to.have.length(1);
  });
});
