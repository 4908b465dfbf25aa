import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import type { Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { GetUserRequestSchema } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { HealthState, healthService } from "../../../src/grpc/health.ts";
import { reflectionServices } from "../../../src/grpc/reflection.ts";
import { internalLimits, type ListenerLimits } from "../../../src/http/listener-limits.ts";
import { headerBlock, http2Frame, lengthPrefixed, preface } from "../../support/frames.ts";
import { exchange, openSession, openTcp, talk } from "../../support/raw-http.ts";
import { aUserId, startTestServer, type TestServer } from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

const short = {
  handshakeMs: 150,
  headersMs: 150,
  requestMs: 200,
  keepAliveMs: 100,
  firstRequestMs: 150,
  stalledResponseMs: 400,
  sweepMs: 20,
} satisfies Partial<ListenerLimits>;
const getUserPath = "/nexgate.privacy.v1.GraphService/GetUser";
const grpcHeaders = {
  ":method": "POST",
  ":path": getUserPath,
  "content-type": "application/grpc",
  authorization: "t",
};
const message = toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId }));
const settings = http2Frame(4, 0, 0, Buffer.alloc(0));

/** Answers with the length of the body when it has come. */
const rest: NonNullable<Parameters<typeof startTestServer>[0]>["rest"] = (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => response.end(String(Buffer.concat(chunks).length)));
};

/** Writes a byte again and again until `stopped`. */
async function trickle(target: Socket | ClientHttp2Stream, stopped: Promise<unknown>): Promise<void> {
  const timer = setInterval(() => target.write("a"), 20);
  await stopped;
  clearInterval(timer);
}

const closed = (stream: ClientHttp2Stream) => {
  stream.on("error", () => {});
  return new Promise((resolve) => stream.once("close", resolve));
};

describe("trap 3, slow clients", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      listener: "public",
      limits: short,
      rest,
    });
  });
  after(() => server.stop());

  describe("over HTTP/1.1", () => {
    it("are disconnected without an answer when they send nothing", async () => {
      expect(await talk(server.listener.port, "")).to.equal("");
    });

    it("are disconnected when their first bytes do not identify the protocol", async () => {
      expect(await talk(server.listener.port, "P")).to.equal("");
    });

    it("are answered 408 when their headers stay incomplete", async () => {
      const answer = await talk(server.listener.port, "GET / HTTP/1.1\r\nHost: h\r\n");
      expect(answer)
        .to.match(/^HTTP\/1\.1 408 /)
        .and.to.contain('"httpStatus":"REQUEST_TIMEOUT"');
    });

    it("are answered 408 when headers trickle", async () => {
      const { socket, received } = await openTcp(server.listener.port);
      socket.write("GET / HTTP/1.1\r\nHost: h\r\nX: ");
      await trickle(socket, once(socket, "close"));
      expect(received()).to.match(/^HTTP\/1\.1 408 /);
    });

    const unfinished = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: t\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`;
    for (const [what, path] of [
      ["REST", "/x"],
      ["an RPC", getUserPath],
    ] as const) {
      it(`are answered 408 when a body stalls, for ${what}`, async () => {
        expect(await talk(server.listener.port, unfinished(path))).to.match(/^HTTP\/1\.1 408 /);
      });

      it(`are answered 408 when a body trickles, for ${what}`, async () => {
        const { socket, received } = await openTcp(server.listener.port);
        socket.write(unfinished(path));
        await trickle(socket, once(socket, "close"));
        expect(received()).to.match(/^HTTP\/1\.1 408 /);
      });
    }

    it("are disconnected when they are idle after an answer", async () => {
      const answer = await talk(server.listener.port, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
      expect(answer).to.match(/^HTTP\/1\.1 200 /);
    });
  });

  describe("over HTTP/2", () => {
    it("are disconnected when the preface stays incomplete", async () => {
      const answer = await talk(server.listener.port, preface.subarray(0, 10).toString("latin1"));
      // Nothing but the server's own preface: its settings.
      expect(answer.charCodeAt(3)).to.equal(4);
    });

    it("are disconnected when they open no stream", async () => {
      const goAway = http2Frame(7, 0, 0, Buffer.alloc(8)).toString("latin1");
      for (const first of [preface, Buffer.concat([preface, settings])])
        expect(await talk(server.listener.port, first.toString("latin1"))).to.contain(goAway);
    });

    for (const [what, headers] of [
      ["the fast path", grpcHeaders],
      ["Connect's adapter", { ...grpcHeaders, "content-type": "application/proto" }],
      ["REST", { ":method": "POST", ":path": "/x" }],
    ] as const) {
      it(`lose a stream whose body stalls, on ${what}`, async () => {
        const session = openSession(server.listener.url);
        const stream = session.request(headers, { endStream: false });
        stream.write("a");
        await closed(stream);
        expect(stream.rstCode).to.equal(constants.NGHTTP2_CANCEL);
        session.destroy();
      });

      it(`lose a stream whose body trickles, on ${what}`, async () => {
        const session = openSession(server.listener.url);
        const stream = session.request(headers, { endStream: false });
        stream.write(Buffer.from([0, 0, 0, 1, 0]));
        await trickle(stream, closed(stream));
        expect(stream.rstCode).to.equal(constants.NGHTTP2_CANCEL);
        session.destroy();
      });
    }

    it("are disconnected when the only request that they began was never complete", async () => {
      // After a complete one it could be idle for longer than this test may take.
      const lenient = await startTestServer({
        listener: "public",
        limits: { ...short, keepAliveMs: 3_600_000 },
        rest,
      });
      const { socket } = await openTcp(lenient.listener.port);
      const block = headerBlock([
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "h"],
        [":path", "/x"],
      ]);
      // The headers end, the stream does not: it is reset, and with it the only reason to wait.
      socket.write(Buffer.concat([preface, settings, http2Frame(1, 4, 1, block)]));
      await until(() => socket.closed);
      await lenient.stop();
    });

    it("have the calls aborted whose streams are reset", async () => {
      server.lines.length = 0;
      const session = openSession(server.listener.url);
      const streams = ["application/grpc", "application/proto"].map((type) => {
        const stream = session.request({ ...grpcHeaders, "content-type": type }, { endStream: false });
        stream.write("\0");
        return stream;
      });
      await Promise.all(streams.map(closed));
      while (server.lines.length < 2) await new Promise(setImmediate);
      expect(server.lines.map(({ code, level }) => [code, level])).to.eql([
        ["canceled", 30],
        ["canceled", 30],
      ]);
      session.destroy();
    });

    it("lose a response that they do not read", async () => {
      const session = openSession(server.listener.url);
      const stream = session.request({ ...grpcHeaders, "x-size": "1000000" }, { endStream: false });
      stream.end(lengthPrefixed(message));
      stream.pause();
      await closed(stream);
      expect(stream.rstCode).to.equal(constants.NGHTTP2_CANCEL);
      session.destroy();
    });

    it("get a GOAWAY when they are idle, and are disconnected", async () => {
      const session = openSession(server.listener.url);
      const away = once(session, "goaway");
      const stream = session.request({ ":path": "/healthz" });
      stream.resume();
      await once(stream, "close");
      expect((await away)[0]).to.equal(constants.NGHTTP2_NO_ERROR);
      await until(() => session.destroyed);
    });

    it("stay connected while a call of theirs runs", async () => {
      const session = openSession(server.listener.url);
      const handling = server.seen.next();
      const stream = session.request({ ...grpcHeaders, "x-do": "hold" }, { endStream: false });
      stream.end(lengthPrefixed(message));
      await handling;
      const trailers = once(stream, "trailers");
      setTimeout(() => server.release(), 500);
      expect((await trailers)[0]["grpc-status"]).to.equal("0");
      session.destroy();
    });
  });

  for (const [what, first, request] of [
    ["nothing", "", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"],
    [
      "the preface of HTTP/2",
      Buffer.concat([preface, settings]).toString("latin1"),
      http2Frame(
        1,
        5,
        1,
        headerBlock([
          [":method", "GET"],
          [":scheme", "http"],
          [":authority", "h"],
          [":path", "/healthz"],
        ]),
      ).toString("latin1"),
    ],
  ] as const) {
    it(`may rest before their first request, as a balancer's spare connection that sends ${what}`, async () => {
      const lenient = await startTestServer({
        listener: "public",
        limits: { ...short, keepAliveMs: 3_600_000 },
      });
      const { socket, received } = await openTcp(lenient.listener.port);
      socket.write(first, "latin1");
      await new Promise((resolve) => setTimeout(resolve, short.requestMs * 4));
      socket.write(request, "latin1");
      await until(() => received().includes('{"status":"ok"}'));
      socket.destroy();
      await lenient.stop();
    });
  }

  for (const [what, type, payload] of [
    ["pings", 6, 8],
    ["settings", 4, 0],
  ] as const) {
    it(`are disconnected when they send too many ${what}`, async () => {
      const strict = await startTestServer({ limits: { controlFrames: 50 } });
      const { socket } = await openTcp(strict.listener.port);
      const one = http2Frame(type, 0, 0, Buffer.alloc(payload));
      socket.write(Buffer.concat([preface, settings, ...Array.from({ length: 60 }, () => one)]));
      // Later it would be closed for having begun no request.
      await until(() => socket.closed, internalLimits.firstRequestMs - 1_000);
      await strict.stop();
    });
  }

  for (const type of ["application/grpc", "application/proto"]) {
    it(`cost no call when they open and reset streams in one write, ${type}`, async () => {
      const quiet = await startTestServer();
      const { socket, received } = await openTcp(quiet.listener.port);
      const block = headerBlock([
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "h"],
        [":path", getUserPath],
        ["content-type", type],
        ["authorization", "t"],
      ]);
      const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
      const pairs = Array.from({ length: 100 }, (_, i) => [
        http2Frame(1, 4, i * 2 + 1, block),
        http2Frame(3, 0, i * 2 + 1, cancel),
      ]);
      socket.write(
        Buffer.concat([preface, settings, ...pairs.flat(), http2Frame(6, 0, 0, Buffer.from("finished"))]),
      );
      while (!received().includes("finished")) await once(socket, "data");
      const client = openSession(quiet.listener.url);
      await exchange(client, {
        headers: { ...grpcHeaders, te: "trailers" },
        chunks: [lengthPrefixed(message)],
      });
      expect(quiet.lines.map(({ code }) => code)).to.eql(["ok"]);
      client.destroy();
      socket.destroy();
      await quiet.stop();
    });
  }

  it("may open only so many streaming calls", async () => {
    const health = new HealthState([]);
    const services = [healthService(health)];
    const strict = await startTestServer({ limits: { streamingCalls: 2, sweepMs: 20 }, services });
    const session = openSession(strict.listener.url);
    const watch = () => {
      const stream = session.request({ ...grpcHeaders, ":path": "/grpc.health.v1.Health/Watch" });
      stream.end(lengthPrefixed(new Uint8Array()));
      return stream;
    };
    const open = [watch(), watch()];
    await Promise.all(open.map((stream) => once(stream, "data")));
    const third = watch();
    await closed(third);
    expect(third.rstCode).to.equal(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    open[0]?.on("error", () => {}).close(constants.NGHTTP2_CANCEL);
    // The server learns of the end after the client.
    for (let tries = 0; tries < 50; tries++) {
      const next = watch();
      const cameFirst = await Promise.race([
        new Promise((resolve) => next.once("data", () => resolve(true))),
        closed(next).then(() => false),
      ]);
      if (cameFirst) break;
      expect(tries).to.be.below(49);
    }
    session.destroy();
    await strict.stop();
  });

  it("may be slow on a streaming method", async () => {
    const health = new HealthState([]);
    const streaming = await startTestServer({
      limits: short,
      services: [healthService(health), ...reflectionServices([], new AbortController().signal)],
    });
    const session = openSession(streaming.listener.url);
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const stream = session.request({ ...grpcHeaders, ":path": path }, { endStream: false });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(stream.closed).to.equal(false);
    stream.end(Buffer.from([0, 0, 0, 0, 2, 0x3a, 0]));
    const [trailers] = await once(stream.resume(), "trailers");
    expect(trailers["grpc-status"]).to.equal("0");
    session.destroy();
    await streaming.stop();
  });
});
