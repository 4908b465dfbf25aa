import type { ClientHttp2Session } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { GetUserRequestSchema } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { canMakeCertificates, listenTls, makeAuthority } from "../../support/certificates.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { type Answer, exchange, openSession, type RawRequest, unknownField } from "../../support/raw-http.ts";
import { aUserId, doHeader, startTestServer, type TestServer } from "../../support/transport-server.ts";

const readMaxBytes = 4_096;
const getUserPath = "/nexgate.privacy.v1.GraphService/GetUser";
const message = toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId }));
const good = lengthPrefixed(message);

const base = { ":path": getUserPath, "content-type": "application/grpc", te: "trailers", authorization: "t" };

type Case = readonly [name: string, request: RawRequest];
const withHeaders = (headers: Record<string, string | string[]>, chunks = [good]): RawRequest => ({
  headers: { ...base, ...headers },
  chunks,
});
const withBody = (...chunks: Uint8Array[]): RawRequest => withHeaders({}, chunks as Buffer[]);
const without = (name: keyof typeof base): RawRequest => {
  const { [name]: _dropped, ...headers } = base;
  return { headers, chunks: [good] };
};
const doing = (what: string, more: Record<string, string> = {}) => withHeaders({ [doHeader]: what, ...more });

/** From a client that goes on sending: the answer must not wait for it. */
const open = (...chunks: Uint8Array[]): RawRequest => ({ ...withBody(...chunks), open: true, slow: true });

const cases: Case[] = [
  ["two messages of an open request", open(good, good)],
  [
    "a good message and more of an open request",
    open(good.subarray(0, 10), good.subarray(10), Buffer.alloc(100)),
  ],
  [
    "a message too large of an open request",
    open(lengthPrefixed(Buffer.alloc(0), { length: readMaxBytes + 1 })),
  ],
  [
    "a compressed flag of an open request, bit by bit",
    open(
      lengthPrefixed(message, { flags: 1 }).subarray(0, 10),
      lengthPrefixed(message, { flags: 1 }).subarray(10),
    ),
  ],
  ["invalid protobuf of an open request", open(lengthPrefixed(Buffer.from([0x0a, 0x7f, 1])), good)],
  ["no token of an open request", { ...without("authorization"), open: true }],
  [
    "a good call, bit by bit",
    { ...withBody(good.subarray(0, 3), good.subarray(3, 20), good.subarray(20)), slow: true },
  ],
  ["two messages, bit by bit", { ...withBody(good, good.subarray(0, 20), good.subarray(20)), slow: true }],
  ["a truncated second message", { ...withBody(good, good.subarray(0, 20)), slow: true }],
  ["a good call", withBody(good)],
  ["a good call, application/grpc+proto", withHeaders({ "content-type": "application/grpc+proto" })],
  ["a good call in many chunks", withBody(...Array.from(good, (byte) => Buffer.from([byte])))],
  [
    "a call with an empty message",
    {
      headers: { ...base, ":path": "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings" },
      chunks: [lengthPrefixed(Buffer.alloc(0))],
    },
  ],
  [
    "a method without a handler",
    {
      headers: { ...base, ":path": "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySetting" },
      chunks: [good],
    },
  ],
  [
    "a method that is not implemented",
    { headers: { ...base, ":path": "/nexgate.privacy.v1.GraphService/DeleteUser" }, chunks: [good] },
  ],
  [
    "an unknown service",
    { headers: { ...base, ":path": "/nexgate.privacy.v1.NoService/GetUser" }, chunks: [good] },
  ],
  ["a path with a query", { headers: { ...base, ":path": `${getUserPath}?a=b` }, chunks: [good] }],
  ["a message that breaks a rule", withBody(lengthPrefixed(Buffer.from([0x0a, 1, 0x61])))],
  [
    "a message as large as allowed",
    {
      headers: { ...base, ":path": "/nexgate.privacy.v1.GraphService/UpsertUsers" },
      chunks: [lengthPrefixed(unknownField(readMaxBytes))],
    },
  ],
  [
    "a message too large by its prefix",
    withBody(lengthPrefixed(Buffer.alloc(10), { length: readMaxBytes + 1 })),
  ],
  [
    "a message far too large by its prefix",
    withBody(lengthPrefixed(Buffer.alloc(10), { length: 0xffff_ffff })),
  ],
  ["a message too large by its bytes", withBody(lengthPrefixed(unknownField(readMaxBytes + 1)))],
  ["a message much too large by its bytes", withBody(lengthPrefixed(Buffer.alloc(300_000, 1)))],
  ["bytes far beyond a good frame", withBody(good, Buffer.alloc(60_000, 1))],
  ["a length that is short", withBody(lengthPrefixed(message, { length: message.length - 1 }))],
  ["a length that is long", withBody(lengthPrefixed(message, { length: message.length + 1 }))],
  ["a truncated prefix", withBody(good.subarray(0, 3))],
  ["a prefix alone", withBody(good.subarray(0, 5))],
  ["no message", withBody()],
  ["two messages", withBody(good, good)],
  ["two messages in one chunk", withBody(Buffer.concat([good, good]))],
  ["a good message and garbage", withBody(Buffer.concat([good, Buffer.from([7, 7, 7])]))],
  [
    "a good and a too large message",
    withBody(Buffer.concat([good, lengthPrefixed(message, { length: 9_999 })])),
  ],
  ["a compressed flag without an encoding", withBody(lengthPrefixed(message, { flags: 1 }))],
  [
    "a compressed flag with identity",
    withHeaders({ "grpc-encoding": "identity" }, [lengthPrefixed(message, { flags: 1 })]),
  ],
  ["identity encoding", withHeaders({ "grpc-encoding": "identity" })],
  [
    "a gzip message",
    withHeaders({ "grpc-encoding": "gzip" }, [lengthPrefixed(gzipSync(message), { flags: 1 })]),
  ],
  ["a gzip encoding without the flag", withHeaders({ "grpc-encoding": "gzip" })],
  ["broken gzip", withHeaders({ "grpc-encoding": "gzip" }, [lengthPrefixed(message, { flags: 1 })])],
  ["an unknown encoding", withHeaders({ "grpc-encoding": "snappy" })],
  ["reserved flags", withBody(lengthPrefixed(message, { flags: 2 }))],
  ["an end-of-stream flag", withBody(lengthPrefixed(message, { flags: 0x80 }))],
  ["all flags", withBody(lengthPrefixed(message, { flags: 0xff }))],
  ["invalid protobuf", withBody(lengthPrefixed(Buffer.from([0x0a, 0x7f, 1])))],
  ["invalid UTF-8", withBody(lengthPrefixed(Buffer.from([0x0a, 2, 0xc3, 0x28])))],
  ["an unknown field", withBody(lengthPrefixed(Buffer.concat([message, unknownField(10)])))],
  ["gzip accepted for a small reply", withHeaders({ "grpc-accept-encoding": "identity,deflate,gzip" })],
  [
    "gzip accepted for a large reply",
    doing("", { "grpc-accept-encoding": "identity,deflate,gzip", "x-size": "5000" }),
  ],
  ["a large reply", doing("", { "x-size": "200000" })],
  ["an unknown accepted encoding", withHeaders({ "grpc-accept-encoding": "snappy" })],
  ["an empty accepted encoding", withHeaders({ "grpc-accept-encoding": "" })],
  ["gzip accepted and an error", doing("privacy-error", { "grpc-accept-encoding": "gzip" })],
  ["no te", without("te")],
  ["no content type", without("content-type")],
  ["no token", without("authorization")],
  [
    "no token and a large body",
    { ...without("authorization"), chunks: [lengthPrefixed(Buffer.alloc(4_000))] },
  ],
  ["no token and a bad body", { ...without("authorization"), chunks: [Buffer.alloc(4_000, 7)] }],
  [
    "no token and a bad timeout",
    { headers: { ...without("authorization").headers, "grpc-timeout": "x" }, chunks: [good] },
  ],
  ["an expired token", withHeaders({ authorization: "expired" })],
  ["a gate that takes its time", withHeaders({ authorization: "slow" })],
  ["a gate that fails", withHeaders({ authorization: "broken" })],
  ["a handler that throws a plain Error", doing("plain-error")],
  ["a handler that throws a string", doing("throw-string")],
  ["a handler that throws a PrivacyError", doing("privacy-error")],
  ["a handler that throws a ConnectError", doing("connect-error")],
  ["headers and trailers of a handler", doing("headers")],
  ["headers and trailers of a failing handler", doing("headers-and-error")],
  ["metadata", doing("echo", { "x-in": "a, b;c", "x-in-bin": "AAEC/+" })],
  [
    "repeated metadata",
    withHeaders({ [doHeader]: "echo", "x-in": ["one", "two"], "x-in-bin": ["AAEC", "AwQ"] }),
  ],
  [
    "what a handler sees of its call",
    doing("echo-call", { "grpc-timeout": "10S", ":authority": "a.example:81" }),
  ],
  ["an upper-case authority with the default port", doing("echo-call", { ":authority": "LOCALHOST:80" })],
  ["a deadline that passes", doing("await-abort", { "grpc-timeout": "20m" })],
  ["a deadline of nothing", doing("await-abort", { "grpc-timeout": "0m" })],
  ["a deadline in time", withHeaders({ "grpc-timeout": "5S" })],
  ["a deadline of a century", withHeaders({ "grpc-timeout": "99999999H" })],
  ["a malformed deadline", withHeaders({ "grpc-timeout": "1s" })],
  ["a deadline with too many digits", withHeaders({ "grpc-timeout": "123456789S" })],
  ["a negative deadline", withHeaders({ "grpc-timeout": "-1S" })],
  ["an empty deadline", withHeaders({ "grpc-timeout": "" })],
  [
    "application/grpc+json",
    withHeaders({ "content-type": "application/grpc+json" }, [
      lengthPrefixed(Buffer.from(JSON.stringify({ userId: aUserId }))),
    ]),
  ],
  [
    "malformed application/grpc+json",
    withHeaders({ "content-type": "application/grpc+json" }, [lengthPrefixed(Buffer.from("{"))]),
  ],
  ["application/grpc;charset=utf-8", withHeaders({ "content-type": "application/grpc;charset=utf-8" })],
  ["APPLICATION/GRPC", withHeaders({ "content-type": "APPLICATION/GRPC" })],
  ["application/grpc-web+proto", withHeaders({ "content-type": "application/grpc-web+proto" })],
  ["application/grpc+thrift", withHeaders({ "content-type": "application/grpc+thrift" })],
  ["application/proto", withHeaders({ "content-type": "application/proto" }, [Buffer.from(message)])],
  ["GET", withHeaders({ ":method": "GET" })],
  ["OPTIONS", withHeaders({ ":method": "OPTIONS" })],
  ["a web page", withHeaders({ origin: "https://app.example" })],
  ["another web page", withHeaders({ origin: "https://other.example" })],
  ["PUT", withHeaders({ ":method": "PUT" })],
  ["an authority that is none", withHeaders({ ":authority": "[" })],
  ["a port that is none", withHeaders({ ":authority": "x:99999" })],
];

describe("the gRPC fast path against Connect's adapter", () => {
  const servers: TestServer[] = [];
  const sessions: ClientHttp2Session[] = [];

  async function both(request: RawRequest): Promise<[fast: Answer, adapter: Answer]> {
    const [fast, adapter] = sessions;
    if (!fast || !adapter) throw new Error("no sessions");
    return [await exchange(fast, request), await exchange(adapter, request)];
  }

  for (const [listener, isSecure] of [
    ["internal", false],
    ["public", false],
    ["internal", true],
  ] as const) {
    describe(`on the ${listener} listener${isSecure ? " with TLS" : ""}`, () => {
      before(async function () {
        if (isSecure && !canMakeCertificates) return this.skip();
        const authority = isSecure ? makeAuthority("An authority") : undefined;
        const tls = authority && (await listenTls(authority.sign("server")));
        for (const fastPath of [true, false]) {
          const server = await startTestServer({
            listener,
            fastPath,
            limits: { messageBytes: readMaxBytes, sweepMs: 20 },
            ...(tls && { tls }),
          });
          servers.push(server);
          const url = server.listener.url.replace("127.0.0.1", "localhost");
          sessions.push(openSession(url, authority && { ca: authority.cert }));
        }
      });
      after(async () => {
        for (const session of sessions.splice(0)) session.destroy();
        for (const server of servers.splice(0)) await server.stop();
      });

      for (const [name, request] of cases) {
        it(`agrees on ${name}`, async () => {
          const [fast, adapter] = await both(request);
          expect(fast).to.eql(adapter);
        });
      }

      it("agrees on mutated frames", async () => {
        const piece = fc.record({
          payload: fc.oneof(fc.constant(message), fc.uint8Array({ maxLength: 60 })),
          flags: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(255)),
          lie: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -20, max: 5_000 })),
        });
        const property = fc.asyncProperty(
          fc.array(piece, { maxLength: 3 }),
          fc.nat(200),
          fc.constantFrom("t", "slow"),
          async (pieces, cut, authorization) => {
            const body = Buffer.concat(
              pieces.map(({ payload, flags, lie }) =>
                lengthPrefixed(payload, { flags, length: payload.length + lie }),
              ),
            );
            const kept = cut > 100 ? body : body.subarray(0, Math.max(0, body.length - cut));
            const [fast, adapter] = await both(withHeaders({ authorization }, [kept]));
            expect(fast).to.eql(adapter);
          },
        );
        await fc.assert(property, { numRuns: 400 });
      });

      it("agrees on what the log says", () => {
        const [fast, adapter] = servers.map(({ lines }) =>
          lines.map(({ level, msg, code, method, protocol }) => ({ level, msg, code, method, protocol })),
        );
        expect(fast).to.eql(adapter);
        expect(fast?.length).to.be.greaterThan(400);
      });
    });
  }
});
