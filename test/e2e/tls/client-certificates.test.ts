import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import {
  canMakeCertificates,
  listenTls,
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../support/certificates.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const call =
  "POST /nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings HTTP/1.1\r\nHost: h\r\n" +
  "Content-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n";

describe("a listener that requires client certificates", () => {
  let authority: TestAuthority;
  let stranger: TestAuthority;
  let clients: TestAuthority;
  let trusted: string;
  let server: TestServer;
  let renew: () => Promise<void>;
  before(async function () {
    if (!canMakeCertificates) return this.skip();
    authority = makeAuthority("An authority of servers");
    clients = makeAuthority("An authority of clients");
    stranger = makeAuthority("An authority of clients");
    trusted = join(dirname(clients.certFile), "trusted.pem");
    writeFileSync(trusted, clients.cert);
    const tls = await listenTls(authority.sign("server"), trusted);
    renew = () => tls.certificates.reload();
    server = await startTestServer({ tls });
  });
  after(() => server?.stop());

  /** What a call gets; how the connection ended when nothing came. */
  async function ask(options: ConnectionOptions, header = "Authorization: t\r\n"): Promise<string> {
    const socket = connect({ port: server.listener.port, ca: authority.cert, ...options });
    return answerOn(socket, header);
  }
  async function answerOn(socket: TLSSocket, header: string): Promise<string> {
    const chunks: Buffer[] = [];
    let failure = "";
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code ?? error.message;
    });
    socket.write(`${call}${header}\r\n{}`);
    await new Promise((resolve) => socket.once("close", resolve));
    return Buffer.concat(chunks).toString() || failure;
  }
  const as = ({ cert, key }: TestCertificate) => ({ cert, key });

  it("answers a client with a certificate and a token", async () => {
    expect(await ask(as(clients.sign("feed")))).to.match(/^HTTP\/1\.1 200 /);
  });

  it("requires the token nevertheless", async () => {
    expect(await ask(as(clients.sign("feed")), "")).to.match(/^HTTP\/1\.1 401 /);
  });

  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    it(`refuses a client without a certificate, or with that of another authority, in the handshake of ${maxVersion}`, async () => {
      const before = server.seen.contexts.length;
      const foreign = [stranger.sign("feed"), authority.sign("feed")].map(as);
      for (const shown of [{}, ...foreign])
        expect(await ask({ maxVersion, ...shown })).not.to.contain("HTTP/");
      expect(server.seen.contexts).to.have.length(before);
    });

    it(`resumes no session of ${maxVersion} after its authority has lost trust`, async () => {
      const certificate = as(clients.sign("feed"));
      const first = connect({ port: server.listener.port, ca: authority.cert, maxVersion, ...certificate });
      const [[session]] = await Promise.all([
        once(first, "session"),
        answerOn(first, "Authorization: t\r\n"),
      ]);
      writeFileSync(trusted, stranger.cert);
      await renew();
      expect(await ask({ maxVersion, session, ...certificate })).not.to.contain("HTTP/");
      expect(await ask({ maxVersion, ...as(stranger.sign("feed")) })).to.match(/^HTTP\/1\.1 200 /);
      writeFileSync(trusted, clients.cert);
      await renew();
      expect(await ask({ maxVersion, ...certificate })).to.match(/^HTTP\/1\.1 200 /);
    });
  }
});
