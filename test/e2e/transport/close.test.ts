import { once } from "node:events";
import { constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { GetUserRequestSchema } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { lengthPrefixed, preface } from "../../support/frames.ts";
import { exchange, openSession, openTcp } from "../../support/raw-http.ts";
import { aUserId, doHeader, startTestServer, type TestServer } from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

const path = "/nexgate.privacy.v1.GraphService/GetUser";
const message = toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId }));
const held = { ":path": path, "content-type": "application/grpc", authorization: "t", [doHeader]: "hold" };
const heldHttp1 = `POST ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: t\r\n${doHeader}: hold\r\nContent-Type: application/proto\r\nContent-Length: ${message.length}\r\n\r\n${Buffer.from(message).toString("latin1")}`;
const longGrace = 10_000;

describe("a listener that closes", () => {
  let server: TestServer;
  beforeEach(async () => {
    server = await startTestServer();
  });

  it("lets a call over HTTP/2 finish, after a GOAWAY", async () => {
    const session = openSession(server.listener.url);
    const away = once(session, "goaway");
    const handling = server.seen.next();
    const answer = exchange(session, { headers: held, chunks: [lengthPrefixed(message)] });
    await handling;
    const closing = server.listener.close(longGrace);
    await away;
    server.release();
    expect((await answer).trailers["grpc-status"]).to.equal("0");
    await closing;
  });

  it("lets a call over HTTP/1.1 finish, and closes its connection", async () => {
    const { socket, received } = await openTcp(server.listener.port);
    const handling = server.seen.next();
    socket.write(heldHttp1, "latin1");
    await handling;
    const closing = server.listener.close(longGrace);
    server.release();
    await once(socket, "close");
    await closing;
    expect(received())
      .to.match(/^HTTP\/1\.1 200 /)
      .and.to.match(/\r\nconnection: close\r\n/i);
  });

  it("answers a request that still comes on an idle HTTP/1.1 connection, and closes it", async () => {
    const fresh = await openTcp(server.listener.port);
    const used = await openTcp(server.listener.port);
    used.socket.write("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => used.received().includes("\r\n\r\n"));
    const closing = server.listener.close(longGrace);
    const before = used.received();
    for (const { socket } of [fresh, used]) socket.write("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    await Promise.all([once(fresh.socket, "close"), once(used.socket, "close"), closing]);
    for (const answer of [fresh.received(), used.received().slice(before.length)])
      expect(answer)
        .to.match(/^HTTP\/1\.1 404 /)
        .and.to.match(/\r\nconnection: close\r\n/i);
  });

  it("refuses a stream that is opened after its GOAWAY, so that a client may repeat it", async () => {
    const session = openSession(server.listener.url);
    const headers = { ...held, [doHeader]: "" };
    await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
    const closing = server.listener.close(longGrace);
    const crossing = await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
    expect(crossing).to.deep.include({ reset: constants.NGHTTP2_REFUSED_STREAM, trailers: {} });
    expect(server.seen.contexts).to.have.length(1);
    await closing;
  });

  it("closes idle connections at once", async () => {
    await server.stop();
    server = await startTestServer({ limits: { drainIdleMs: 0 } });
    const fresh = await openTcp(server.listener.port);
    const used = await openTcp(server.listener.port);
    used.socket.write("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => used.received().includes("\r\n\r\n"));
    const session = openSession(server.listener.url);
    await exchange(session, { headers: { ...held, [doHeader]: "" }, chunks: [lengthPrefixed(message)] });
    await server.listener.close(longGrace);
    await until(() => [fresh.socket, used.socket, session].every(({ destroyed }) => destroyed));
  });

  it("refuses new connections", async () => {
    const { port } = server.listener;
    await server.listener.close(longGrace);
    const socket = connectTcp(port, "127.0.0.1");
    const [error] = await once(socket, "error");
    expect(error.code).to.equal("ECONNREFUSED");
  });

  it("destroys the remaining connections after the grace period, and aborts their calls", async () => {
    const session = openSession(server.listener.url);
    const overHttp2 = server.seen.next();
    const answer = exchange(session, { headers: held, chunks: [lengthPrefixed(message)] });
    const { signal } = await overHttp2;
    const { socket } = await openTcp(server.listener.port);
    const overHttp1 = server.seen.next();
    socket.write(heldHttp1, "latin1");
    const { signal: signal1 } = await overHttp1;
    const aborted = [once(signal, "abort"), once(signal1, "abort"), once(socket, "close")];
    const halfOpen = await openTcp(server.listener.port);
    halfOpen.socket.write(preface.subarray(0, 12));
    await server.listener.close(50);
    await Promise.all(aborted);
    expect((await answer).trailers).to.eql({});
    server.release();
  });

  it("closes sooner when it is called again with a shorter grace period", async () => {
    const session = openSession(server.listener.url);
    const handling = server.seen.next();
    const answer = exchange(session, { headers: held, chunks: [lengthPrefixed(message)] });
    await handling;
    const patient = server.listener.close(longGrace);
    await server.listener.close(0);
    await patient;
    await server.listener.close(0);
    expect((await answer).trailers).to.eql({});
    server.release();
  }).timeout(longGrace - 1_000);

  it("closes at once when no client is connected", async () => {
    await server.stop();
    server = await startTestServer({ limits: { drainIdleMs: longGrace } });
    const begin = performance.now();
    await server.listener.close(longGrace);
    expect(performance.now() - begin).to.be.below(longGrace);
  });
});
