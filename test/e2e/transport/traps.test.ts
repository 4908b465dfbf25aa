import { once } from "node:events";
import { constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { GetUserRequestSchema, GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { headerBlock, http2Frame, lengthPrefixed, preface } from "../../support/frames.ts";
import { exchange, openSession, openTcp, talk, trailersOf, unknownField } from "../../support/raw-http.ts";
import {
  aUserId,
  doHeader,
  secretText,
  startTestServer,
  type TestServer,
} from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

const getUserPath = "/nexgate.privacy.v1.GraphService/GetUser";
const message = toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId }));
const grpcHeaders = { ":path": getUserPath, "content-type": "application/grpc", te: "trailers" };

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("the call succeeded");
}

const transports: Record<string, (baseUrl: string) => Transport> = {
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect over HTTP/1.1": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect over HTTP/2": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
};

for (const fastPath of [true, false]) {
  describe(`with${fastPath ? "" : "out"} the fast path`, () => {
    let internal: TestServer;
    let external: TestServer;
    before(async () => {
      const limits = { sweepMs: 20 };
      internal = await startTestServer({ listener: "internal", fastPath, limits });
      external = await startTestServer({ listener: "public", fastPath, limits });
    });
    after(async () => {
      await internal.stop();
      await external.stop();
    });

    describe("trap 1, an authority that names no host", () => {
      for (const authority of ["[", "x:99999", "a b", "a/b", "a?b", "a#b", "u@h", ""]) {
        it(`is 400 over HTTP/1.1: ${JSON.stringify(authority)}`, async () => {
          const text = `POST ${getUserPath} HTTP/1.1\r\nHost: ${authority}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
          const answer = await talk(internal.listener.port, text);
          expect(answer)
            .to.match(/^HTTP\/1\.1 400 /)
            .and.to.contain('"httpStatus":"BAD_REQUEST"');
        });

        // Clients of gRPC send authorities that no URL can hold: authorities.test.ts.
        if (["[", "x:99999"].includes(authority)) continue;
        it(`is reset over HTTP/2: ${JSON.stringify(authority)}`, async () => {
          const session = openSession(internal.listener.url);
          for (const type of ["application/grpc", "application/json"]) {
            const headers = { ...grpcHeaders, ":authority": authority, "content-type": type };
            const answer = await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
            expect(answer.reset).to.equal(constants.NGHTTP2_PROTOCOL_ERROR);
          }
          session.destroy();
        });
      }

      it("is 400 when it is missing over HTTP/1.1", async () => {
        const text = `POST ${getUserPath} HTTP/1.1\r\nConnection: close\r\n\r\n`;
        expect(await talk(internal.listener.port, text)).to.match(/^HTTP\/1\.1 400 /);
      });

      it("is reset when it is missing over HTTP/2", async () => {
        const { socket, received } = await openTcp(internal.listener.port);
        const block = headerBlock([
          [":method", "POST"],
          [":scheme", "http"],
          [":path", getUserPath],
          ["content-type", "application/grpc"],
        ]);
        const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
        socket.write(Buffer.concat([preface, settings, http2Frame(1, 5, 1, block)]));
        const reset = http2Frame(3, 0, 1, Buffer.from([0, 0, 0, constants.NGHTTP2_PROTOCOL_ERROR]));
        await until(() => received().includes(reset.toString("latin1")));
        socket.destroy();
      });

      it("does not end the process", async () => {
        const client = createClient(GraphService, createGrpcTransport({ baseUrl: internal.listener.url }));
        const reply = await client.getUser({ userId: aUserId }, { headers: { authorization: "t" } });
        expect(reply.user?.id).to.equal(aUserId);
      });
    });

    describe("trap 2, large bodies", () => {
      const bomb = gzipSync(Buffer.alloc(200_000_000));

      it("are not inflated beyond the limit on the internal listener", async () => {
        const before = process.memoryUsage().rss;
        const session = openSession(internal.listener.url);
        const headers = { ...grpcHeaders, authorization: "t", "grpc-encoding": "gzip" };
        const answer = await exchange(session, { headers, chunks: [lengthPrefixed(bomb, { flags: 1 })] });
        expect(trailersOf(answer)["grpc-status"]).to.equal("8");
        const json = { ...headers, "content-type": "application/json", "content-encoding": "gzip" };
        expect((await exchange(session, { headers: json, chunks: [bomb] })).headers[":status"]).to.equal(429);
        expect(process.memoryUsage().rss - before).to.be.lessThan(50_000_000);
        session.destroy();
      });

      it("are a client error when their compressed data ends too early", async () => {
        const session = openSession(internal.listener.url);
        const cut = gzipSync(message).subarray(0, -10);
        const headers = { ...grpcHeaders, authorization: "t", "grpc-encoding": "gzip" };
        const answer = await exchange(session, { headers, chunks: [lengthPrefixed(cut, { flags: 1 })] });
        expect(trailersOf(answer)["grpc-status"]).to.equal("3");
        const bare = { ...headers, "content-type": "application/proto", "content-encoding": "gzip" };
        expect((await exchange(session, { headers: bare, chunks: [cut] })).headers[":status"]).to.equal(400);
        session.destroy();
      });

      it("are not inflated at all on the public listener", async () => {
        const session = openSession(external.listener.url);
        const headers = { ...grpcHeaders, authorization: "t", "grpc-encoding": "gzip" };
        const answer = await exchange(session, {
          headers,
          chunks: [lengthPrefixed(gzipSync(message), { flags: 1 })],
        });
        expect(trailersOf(answer)["grpc-status"]).to.equal("12");
        expect(trailersOf(answer)["grpc-message"]).to.contain("unknown compression");
        const details = String(trailersOf(answer)["grpc-status-details-bin"]);
        expect(Buffer.from(details, "base64").toString("latin1")).to.contain("UNSUPPORTED");
        const json = { ...headers, "content-type": "application/json", "content-encoding": "gzip" };
        const refused = await exchange(session, { headers: json, chunks: [gzipSync("{}")] });
        expect(refused.headers[":status"]).to.equal(501);
        expect(Buffer.from(refused.body, "hex").toString()).to.contain('"reason":"UNSUPPORTED"');
        session.destroy();
      });

      it("are refused above 64 KiB on the public and 1 MiB on the internal listener", async () => {
        const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
        const headers = { ...grpcHeaders, ":path": path, authorization: "t" };
        for (const [server, limit] of [
          [external, 64 * 1024],
          [internal, 1024 * 1024],
        ] as const) {
          const session = openSession(server.listener.url);
          const statusOf = async (size: number) =>
            trailersOf(await exchange(session, { headers, chunks: [lengthPrefixed(unknownField(size))] }))[
              "grpc-status"
            ];
          expect(await statusOf(limit)).to.equal("0");
          expect(await statusOf(limit + 1)).to.equal("8");
          session.destroy();
        }
      });

      it("are not read without a valid token", async () => {
        for (const server of [internal, external]) {
          const session = openSession(server.listener.url);
          const body = lengthPrefixed(Buffer.alloc(1_000_000));
          const answer = await exchange(session, { headers: grpcHeaders, chunks: [body] });
          expect(trailersOf(answer)["grpc-status"]).to.equal("16");
          expect(session.socket.bytesWritten).to.be.lessThan(70_000);
          session.destroy();
        }
      });

      it("are not awaited without a valid token over HTTP/1.1 either", async () => {
        const { socket, received } = await openTcp(internal.listener.port);
        socket.write(
          `POST ${getUserPath} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{`,
        );
        while (!received().includes("\r\n\r\n")) await once(socket, "data");
        expect(received()).to.match(/^HTTP\/1\.1 401 /);
        socket.destroy();
      });

      for (const type of ["application/grpc", "application/grpc+json", "application/grpc-web"]) {
        it(`do not use up the memory of the session when refused, ${type}`, async () => {
          const limits = { sweepMs: 20, sessionMemoryMegabytes: 1 };
          const server = await startTestServer({ listener: "public", fastPath, limits });
          const session = openSession(server.listener.url);
          const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
          const headers = { ...grpcHeaders, ":path": path, "content-type": type, authorization: "t" };
          const chunks = [lengthPrefixed(Buffer.alloc(80_000))];
          for (let i = 0; i < 40; i++) {
            const answers = Array.from({ length: 10 }, () => exchange(session, { headers, chunks }));
            for (const { reset } of await Promise.all(answers)) expect(reset).to.equal(0);
          }
          session.destroy();
          await server.stop();
        });
      }

      it("do not stop the session when refused", async () => {
        const session = openSession(internal.listener.url);
        const body = lengthPrefixed(Buffer.alloc(300_000));
        const refused = Array.from({ length: 50 }, () =>
          exchange(session, { headers: grpcHeaders, chunks: [body] }),
        );
        const headers = { ...grpcHeaders, authorization: "t" };
        const good = await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
        expect(good.trailers["grpc-status"]).to.equal("0");
        expect(
          (await Promise.all(refused)).every((answer) => trailersOf(answer)["grpc-status"] === "16"),
        ).to.equal(true);
        session.destroy();
      });
    });

    describe("trap 4, malformed requests", () => {
      it("are answered where their text would not fit into headers", async () => {
        const session = openSession(internal.listener.url);
        const headers = { ...grpcHeaders, "content-type": "application/grpc+json", authorization: "t" };
        const body = Buffer.from(JSON.stringify({ ["x".repeat(60_000)]: 1 }));
        const answer = await exchange(session, { headers, chunks: [lengthPrefixed(body)] });
        expect([answer.reset, trailersOf(answer)["grpc-status"]]).to.eql([0, "3"]);
        session.destroy();
      });

      const bodies: [string, string, Buffer][] = [
        ["malformed JSON", "application/json", Buffer.from("{")],
        ["an unknown JSON field", "application/json", Buffer.from('{"no":1}')],
        ["JSON of another type", "application/json", Buffer.from('{"userId":1}')],
        ["malformed protobuf", "application/proto", Buffer.from([0x0a, 0x7f, 1])],
      ];
      for (const [name, type, body] of bodies) {
        it(`is invalid_argument with a reason, and logged: ${name}`, async () => {
          internal.lines.length = 0;
          const response = await fetch(internal.listener.url + getUserPath, {
            method: "POST",
            headers: { "content-type": type, authorization: "t" },
            body,
          });
          expect(response.status).to.equal(400);
          const answer = (await response.json()) as {
            code: string;
            details: { type: string; debug: unknown }[];
          };
          expect(answer.code).to.equal("invalid_argument");
          expect(answer.details).to.have.length(1);
          expect(answer.details[0]).to.deep.include({ type: "google.rpc.ErrorInfo" });
          expect(internal.lines.map(({ code, level }) => [code, level])).to.eql([["invalid_argument", 30]]);
          expect(internal.lines[0]?.requestId).to.equal(response.headers.get("x-request-id"));
        });
      }

      for (const type of ["application/grpc+json", "application/grpc-web+json"]) {
        it(`may end within a character where parsing fails, by ${type}`, async () => {
          const session = openSession(internal.listener.url);
          const headers = { ...grpcHeaders, "content-type": type, authorization: "t" };
          const answer = await exchange(session, {
            headers,
            chunks: [lengthPrefixed(Buffer.from('{"\\ud800":1}'))],
          });
          expect(answer.headers[":status"]).to.equal(200);
          expect(trailersOf(answer)["grpc-status"] ?? Buffer.from(answer.body, "hex").toString()).to.match(
            /^3$|grpc-status: ?3/,
          );
          session.destroy();
        });
      }

      it("is invalid_argument with a reason over gRPC", async () => {
        const session = openSession(internal.listener.url);
        const headers = { ...grpcHeaders, authorization: "t" };
        for (const chunk of [
          lengthPrefixed(Buffer.from([0x0a, 0x7f, 1])),
          lengthPrefixed(message, { flags: 1 }),
        ]) {
          const trailers = trailersOf(await exchange(session, { headers, chunks: [chunk] }));
          expect(trailers).to.include({ "grpc-status": "3", "x-request-id": "an id" });
          expect(
            Buffer.from(String(trailers["grpc-status-details-bin"]), "base64").toString("latin1"),
          ).to.contain("INVALID_REQUEST");
        }
        session.destroy();
      });
    });

    it("trap 4 after a deadline: malformed bytes are answered with a reason", async () => {
      internal.lines.length = 0;
      const session = openSession(internal.listener.url);
      const headers = { ...grpcHeaders, authorization: "t", "grpc-timeout": "1m" };
      const malformed = lengthPrefixed(Buffer.from([0x0a, 0x7f, 1]));
      const chunks = Array.from(malformed, (byte) => Buffer.from([byte]));
      const trailers = trailersOf(await exchange(session, { headers, chunks, slow: true }));
      expect(trailers).to.include({ "x-request-id": "an id" });
      expect(trailers["grpc-status"]).to.be.oneOf(["3", "4"]);
      expect(Buffer.from(String(trailers["grpc-status-details-bin"]), "base64").toString("latin1")).to.match(
        /INVALID_REQUEST|DEADLINE_EXCEEDED/,
      );
      const code = trailers["grpc-status"] === "3" ? "invalid_argument" : "deadline_exceeded";
      expect(internal.lines.map((line) => line.code)).to.eql([code]);
      session.destroy();
    });

    describe("trap 5, a plain error of a handler", () => {
      for (const [name, transport] of Object.entries(transports)) {
        it(`is logged once, with the id that the client got, over ${name}`, async () => {
          internal.lines.length = 0;
          const client = createClient(GraphService, transport(internal.listener.url));
          const headers = { authorization: "t", [doHeader]: "plain-error" };
          const error = await failureOf(client.getUser({ userId: aUserId }, { headers }));
          expect([error.code, error.rawMessage]).to.eql([Code.Internal, "Internal server error"]);
          expect(error.findDetails(ErrorInfoSchema)[0]?.reason).to.equal("INTERNAL");
          expect(JSON.stringify([...error.metadata, error.details])).not.to.contain("swordfish");
          expect(internal.lines).to.have.length(1);
          const [line] = internal.lines;
          expect(line?.requestId).to.be.a("string").and.to.equal(error.metadata.get("x-request-id"));
          expect(JSON.stringify(line)).to.contain(secretText);
        });
      }
    });

    describe("trap 6, an error in the middle of a stream", () => {
      let streaming: TestServer;
      before(async () => {
        const watch = async function* () {
          yield {};
          throw new Error(secretText);
        };
        const services = [service(Health, { watch }, { requiresAuth: false })];
        streaming = await startTestServer({ fastPath, services });
      });
      after(() => streaming.stop());

      for (const [name, transport] of Object.entries(transports)) {
        it(`is mapped and logged over ${name}`, async () => {
          streaming.lines.length = 0;
          const client = createClient(Health, transport(streaming.listener.url));
          let messages = 0;
          const error = await failureOf(
            (async () => {
              for await (const _message of client.watch({})) messages += 1;
            })(),
          );
          expect(messages).to.equal(1);
          expect([error.code, error.rawMessage]).to.eql([Code.Internal, "Internal server error"]);
          expect(error.findDetails(ErrorInfoSchema)[0]?.reason).to.equal("INTERNAL");
          expect(streaming.lines.map(({ code }) => code)).to.eql(["internal"]);
          expect(JSON.stringify(streaming.lines)).to.contain(secretText);
          expect(JSON.stringify([...error.metadata, error.details])).not.to.contain("swordfish");
        });
      }
    });
  });
}
