import { once } from "node:events";
import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { HealthCheckRequestSchema } from "../../../gen/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { AccessService } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GetUserRequestSchema } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { HealthState, healthService } from "../../../src/grpc/health.ts";
import { reflectionServices } from "../../../src/grpc/reflection.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { openSession, type RawRequest } from "../../support/raw-http.ts";
import { aUserId, doHeader, startTestServer, type TestServer } from "../../support/transport-server.ts";

const graph = "/nexgate.privacy.v1.GraphService";
const user = lengthPrefixed(
  toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId })),
);
const unknownService = lengthPrefixed(
  toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: "no.Service" })),
);
const call = (path: string, chunks: Buffer[], headers: Record<string, string> = {}): RawRequest => ({
  headers: {
    ...{ ":path": path, "content-type": "application/grpc", te: "trailers", authorization: "t" },
    ...headers,
  },
  chunks,
});
const getUser = (headers: Record<string, string>) => call(`${graph}/GetUser`, [user], headers);

const failures: [name: string, request: RawRequest, status: string][] = [
  ["a handler that fails", getUser({ [doHeader]: "privacy-error" }), "5"],
  ["an unexpected failure", getUser({ [doHeader]: "plain-error" }), "13"],
  ["a handler that fails after it set headers", getUser({ [doHeader]: "headers-and-error" }), "6"],
  [
    "a failure whose reply would be compressed",
    getUser({ [doHeader]: "privacy-error", "grpc-accept-encoding": "gzip" }),
    "5",
  ],
  ["a deadline that passes", getUser({ [doHeader]: "await-abort", "grpc-timeout": "20m" }), "4"],
  ["a malformed deadline", getUser({ "grpc-timeout": "x" }), "3"],
  ["a refused token", getUser({ authorization: "expired" }), "16"],
  ["an unknown encoding", getUser({ "grpc-encoding": "snappy" }), "12"],
  ["a web page", getUser({ [doHeader]: "privacy-error", origin: "https://app.example" }), "5"],
  [
    "application/grpc+json",
    call(`${graph}/GetUser`, [lengthPrefixed(Buffer.from("{"))], { "content-type": "application/grpc+json" }),
    "3",
  ],
  [
    "a message too large",
    call(`${graph}/GetUser`, [lengthPrefixed(Buffer.alloc(10), { length: 5_000_000 })]),
    "8",
  ],
  [
    "an open request with a message too large",
    { ...call(`${graph}/GetUser`, [lengthPrefixed(Buffer.alloc(10), { length: 5_000_000 })]), open: true },
    "8",
  ],
  [
    "a message that cannot be parsed",
    call(`${graph}/GetUser`, [lengthPrefixed(Buffer.from([0x0a, 0x7f, 1]))]),
    "3",
  ],
  ["no message", call(`${graph}/GetUser`, []), "12"],
  [
    "a message that breaks a rule",
    call(`${graph}/GetUser`, [lengthPrefixed(Buffer.from([0x0a, 1, 0x61]))]),
    "3",
  ],
  ["a method that is not implemented", call(`${graph}/DeleteUser`, [user]), "12"],
  [
    "a stream that fails before its first message",
    call(`${graph}/ImportEdges`, [], { authorization: "expired" }),
    "16",
  ],
  ["a method that is not there", call(`${graph}/NoMethod`, [user]), "12"],
  ["a service that is not there", call("/no.Service/NoMethod", [user]), "12"],
  ["a service without room", call("/nexgate.privacy.v1.AccessService/CheckAccess", [user]), "8"],
  ["health of an unknown service", call("/grpc.health.v1.Health/Check", [unknownService]), "5"],
  [
    "a health check that cannot be parsed",
    call("/grpc.health.v1.Health/Watch", [lengthPrefixed(Buffer.from([0x0a, 0x7f, 1]))]),
    "3",
  ],
  [
    "a reflection request that cannot be parsed",
    call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", [
      lengthPrefixed(Buffer.from([0x0a, 0x7f, 1])),
    ]),
    "3",
  ],
];

/** The header blocks of an answer, and whether the first one ended it. */
interface Blocks {
  readonly first: IncomingHttpHeaders;
  readonly endsWithFirst: boolean;
  readonly count: number;
}

async function blocksOf(session: ClientHttp2Session, request: RawRequest): Promise<Blocks> {
  const stream = session.request({ ":method": "POST", ...request.headers }, { endStream: false });
  stream.on("error", () => {});
  const blocks: [IncomingHttpHeaders, number][] = [];
  stream.on("response", (headers, flags) => blocks.push([headers, flags]));
  stream.on("trailers", (headers, flags) => blocks.push([headers, flags]));
  stream.resume();
  for (const chunk of request.chunks ?? []) stream.write(chunk);
  if (request.open !== true) stream.end();
  await once(stream, "close");
  const [[first, flags] = [{}, 0]] = blocks;
  const endsWithFirst = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
  return { first, endsWithFirst, count: blocks.length };
}

for (const listener of ["internal", "public"] as const) {
  for (const fastPath of [true, false]) {
    describe(`a failed gRPC call on the ${listener} listener${fastPath ? "" : ", by Connect alone"}`, () => {
      let server: TestServer;
      let session: ClientHttp2Session;
      before(async () => {
        const stopping = new AbortController();
        server = await startTestServer({
          listener,
          fastPath,
          moreServices: [
            service(AccessService, {}, { isOverloaded: () => true }),
            healthService(new HealthState([])),
            ...reflectionServices([file_grpc_reflection_v1_reflection], stopping.signal),
          ],
        });
        session = openSession(server.listener.url);
      });
      after(async () => {
        session.destroy();
        await server.stop();
      });

      for (const [name, request, status] of failures) {
        it(`is Trailers-Only: ${name}`, async () => {
          const { first, endsWithFirst, count } = await blocksOf(session, request);
          expect({ status: first[":status"], grpcStatus: first["grpc-status"], endsWithFirst, count }).to.eql(
            {
              status: 200,
              grpcStatus: status,
              endsWithFirst: true,
              count: 1,
            },
          );
        });
      }

      it("says when to retry, also in the header that gRPC clients follow", async () => {
        const full = call("/nexgate.privacy.v1.AccessService/CheckAccess", [user]);
        const { first } = await blocksOf(session, full);
        expect(first).to.include({ "retry-after": "1", "grpc-retry-pushback-ms": "1000" });
      });

      it("does not encode characters that gRPC allows in its message", async () => {
        const { first } = await blocksOf(session, getUser({ "grpc-timeout": "x; y, z=1" }));
        expect(first["grpc-message"]).to.equal("protocol error: invalid grpc timeout value: x; y, z=1");
      });
    });
  }
}
