import { once } from "node:events";
import { request } from "node:https";
import { type ConnectionOptions, connect } from "node:tls";
import { createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { ListenTls } from "../../../src/http/listen.ts";
import { canMakeCertificates, listenTls, makeAuthority } from "../../support/certificates.ts";
import { exchange, openSession, openTcp, talk } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const graceMs = 15_000;

describe("a listener with TLS", () => {
  let ca: string;
  let tls: ListenTls;
  const servers = {} as Record<"public" | "internal", TestServer>;
  before(async function () {
    if (!canMakeCertificates) return this.skip();
    const authority = makeAuthority("An authority");
    ca = authority.cert;
    tls = await listenTls(authority.sign("server"));
    for (const listener of ["public", "internal"] as const)
      servers[listener] = await startTestServer({
        listener,
        tls,
        limits: { handshakeMs: 300, keepAliveMs: 300 },
      });
  });
  after(async () => {
    for (const server of Object.values(servers)) await server.stop();
  });

  async function connected(options: ConnectionOptions = {}) {
    const socket = connect({ port: servers.public.listener.port, host: "127.0.0.1", ca, ...options });
    await once(socket, "secureConnect");
    return socket;
  }

  it("sends Strict-Transport-Security", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    request(`${servers.public.listener.url}/healthz`, { ca }, (response) => {
      response.resume();
      resolve(response.headers["strict-transport-security"]);
    })
      .once("error", reject)
      .end();
    expect(await promise).to.equal("max-age=31536000");
  });

  const transports = {
    gRPC: (baseUrl: string) => createGrpcTransport({ baseUrl, nodeOptions: { ca } }),
    "gRPC-Web, HTTP/1.1": (baseUrl: string) =>
      createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { ca } }),
    "gRPC-Web, HTTP/2": (baseUrl: string) =>
      createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions: { ca } }),
    "Connect, HTTP/1.1": (baseUrl: string) =>
      createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { ca } }),
    "Connect, HTTP/2": (baseUrl: string) =>
      createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions: { ca } }),
  };
  for (const listener of ["public", "internal"] as const) {
    for (const [name, transport] of Object.entries(transports)) {
      it(`answers ${name} on the ${listener} listener, and its handlers see https`, async () => {
        const { url } = servers[listener].listener;
        expect(url).to.match(/^https:/);
        let seen: string | null = null;
        await createClient(PrivacyControlService, transport(url)).getPrivacySettings(
          {},
          {
            headers: { authorization: "t", "x-do": "echo-call" },
            onHeader: (headers) => {
              seen = headers.get("x-url");
            },
          },
        );
        expect(seen).to.equal(`${url}/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings`);
      });
    }
  }

  it("answers REST over HTTP/1.1 and HTTP/2", async () => {
    const { url } = servers.public.listener;
    const overHttp1 = request(`${url}/anything`, { ca });
    overHttp1.end();
    const [response] = await once(overHttp1, "response");
    expect([response.statusCode, response.httpVersion]).to.eql([418, "1.1"]);
    response.resume();
    const session = openSession(url, { ca });
    const answer = await exchange(session, { headers: { ":method": "GET", ":path": "/anything" } });
    expect(answer.headers[":status"]).to.equal(418);
    session.destroy();
  });

  it("chooses HTTP/2 where a client offers both, and HTTP/1.1 where it offers nothing", async () => {
    const both = await connected({ ALPNProtocols: ["http/1.1", "h2"] });
    expect(both.alpnProtocol).to.equal("h2");
    both.destroy();
    const silent = await connected();
    expect(silent.alpnProtocol).to.equal(false);
    silent.write("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const [answer] = await once(silent, "data");
    expect(String(answer)).to.match(/^HTTP\/1\.1 418 /);
    silent.destroy();
  });

  it("refuses a client that offers only other protocols", async () => {
    const socket = connect({ port: servers.public.listener.port, ca, ALPNProtocols: ["spdy/1"] });
    const [error] = await once(socket, "error");
    expect(error.code).to.equal("ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
  });

  it("refuses TLS before 1.2", async () => {
    const socket = connect({
      port: servers.public.listener.port,
      ca,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    const [error] = await once(socket, "error");
    expect(error.code).to.match(/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/);
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const good = await connected({ minVersion: version, maxVersion: version });
      expect(good.getProtocol()).to.equal(version);
      good.destroy();
    }
  });

  it("answers nothing in plaintext", async () => {
    const answer = await talk(servers.public.listener.port, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(answer).not.to.contain("HTTP/");
  });

  it("closes connections without a request soon, and lets a call finish", async () => {
    const server = await startTestServer({ tls, limits: { drainIdleMs: 50 } });
    const { port, url } = server.listener;
    const { socket: mute } = await openTcp(port);
    const silent = await connected({ port });
    for (const socket of [mute, silent]) socket.on("error", () => {}).resume();
    const session = openSession(url, { ca });
    const handling = server.seen.next();
    const answer = exchange(session, {
      headers: {
        ":path": "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
        "content-type": "application/grpc",
        authorization: "t",
        "x-do": "hold",
      },
      chunks: [Buffer.alloc(5)],
    });
    await handling;
    const away = once(session, "goaway");
    const gone = [once(mute, "close"), once(silent, "close")];
    const closing = server.listener.close(graceMs);
    await Promise.all([away, ...gone]);
    server.release();
    expect((await answer).trailers["grpc-status"]).to.equal("0");
    await closing;
  }).timeout(graceMs - 1_000);

  it("limits the time for a handshake and for the first request", async () => {
    const { socket: mute } = await openTcp(servers.public.listener.port);
    const muteClosed = once(mute, "close");
    const idle = await connected();
    idle.on("error", () => {});
    const heard: Buffer[] = [];
    idle.on("data", (chunk: Buffer) => heard.push(chunk));
    const idleClosed = once(idle, "close");
    await Promise.all([muteClosed, idleClosed]);
    expect(Buffer.concat(heard).toString()).to.equal("");
  });
});
