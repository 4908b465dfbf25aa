import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { Health, HealthCheckResponseSchema } from "../../../gen/grpc/health/v1/health_pb.ts";
import {
  GetUserRequestSchema,
  GetUserResponseSchema,
} from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { HealthState, healthService } from "../../../src/grpc/health.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { exchange, openSession } from "../../support/raw-http.ts";
import { aUserId, doHeader, startTestServer, type TestServer } from "../../support/transport-server.ts";

const path = "/nexgate.privacy.v1.GraphService/GetUser";
const message = lengthPrefixed(
  toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId })),
);
const trailerFlag = 0x80;

/** The bytes of an answer whose parts were padded one by one. */
function decoded(text: string): Buffer {
  return Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((piece) => Buffer.from(piece, "base64")));
}

function framesOf(body: Buffer): { flags: number; data: Buffer }[] {
  const frames: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    frames.push({ flags: body[at] ?? 0, data: body.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}

const trailersIn = (frames: { flags: number; data: Buffer }[]) =>
  frames.find(({ flags }) => flags === trailerFlag)?.data.toString() ?? "";

for (const listener of ["internal", "public"] as const) {
  describe(`gRPC-Web in text mode on the ${listener} listener`, () => {
    let server: TestServer;
    let session: ClientHttp2Session;
    const state = new HealthState([]);
    before(async () => {
      server = await startTestServer({ listener, moreServices: [healthService(state)] });
      session = openSession(server.listener.url);
    });
    after(async () => {
      session.destroy();
      await server.stop();
    });

    const overHttp1 = async (body: string, headers: Record<string, string> = {}) => {
      const answer = await fetch(server.listener.url + path, {
        method: "POST",
        headers: { "content-type": "application/grpc-web-text", authorization: "t", ...headers },
        body,
      });
      return { answer, frames: framesOf(decoded(await answer.text())) };
    };

    for (const type of [
      "application/grpc-web-text",
      "application/grpc-web-text+proto",
      "Application/gRPC-Web-Text; charset=utf-8",
    ])
      it(`answers a call of ${type}`, async () => {
        const { answer, frames } = await overHttp1(message.toString("base64"), { "content-type": type });
        expect(answer.status).to.equal(200);
        expect(answer.headers.get("content-type")).to.equal("application/grpc-web-text+proto");
        expect(frames.map(({ flags }) => flags)).to.eql([0, trailerFlag]);
        const reply = fromBinary(GetUserResponseSchema, frames[0]?.data ?? Buffer.alloc(0));
        expect(reply.user?.id).to.equal(aUserId);
        expect(trailersIn(frames)).to.match(/^grpc-status: ?0\r\n/m);
      });

    it("reads base64 that is split anywhere, and parts that are padded each", async () => {
      const text = message.subarray(0, 10).toString("base64") + message.subarray(10).toString("base64");
      const headers = { ":path": path, "content-type": "application/grpc-web-text", authorization: "t" };
      for (const cut of [1, 2, 3, 15, 16, 17]) {
        const chunks = [Buffer.from(text.slice(0, cut)), Buffer.from(text.slice(cut))];
        const { body } = await exchange(session, { headers, chunks, slow: true });
        const frames = framesOf(decoded(Buffer.from(body, "hex").toString()));
        expect(trailersIn(frames)).to.match(/^grpc-status: ?0\r\n/m);
      }
    });

    for (const [what, body, headers, status] of [
      ["text that is no base64", "~~~~", {}, 3],
      ["base64 that ends too early", message.toString("base64").slice(0, -1), {}, 3],
      ["padding in the wrong place", `=${message.toString("base64")}===`, {}, 3],
      [
        "a message too large",
        lengthPrefixed(Buffer.alloc(10), { length: 5_000_000 }).toString("base64"),
        {},
        8,
      ],
      ["no token", message.toString("base64"), { authorization: "expired" }, 16],
      ["a handler that fails", message.toString("base64"), { [doHeader]: "privacy-error" }, 5],
    ] as const)
      it(`fails for ${what} as the binary mode does`, async () => {
        const { answer, frames } = await overHttp1(body, headers);
        expect(answer.status).to.equal(200);
        expect(trailersIn(frames)).to.match(new RegExp(`^grpc-status: ?${status}\\r\\n`, "m"));
      });

    it("sends each message of a stream at once", async () => {
      const stream = session.request({
        ":method": "POST",
        ":path": `/${Health.typeName}/Watch`,
        "content-type": "application/grpc-web-text",
      });
      stream.on("error", () => {});
      stream.end(lengthPrefixed(Buffer.alloc(0)).toString("base64"));
      const [chunk] = await once(stream, "data");
      const [first] = framesOf(decoded(chunk.toString()));
      expect(fromBinary(HealthCheckResponseSchema, first?.data ?? Buffer.alloc(0)).status).to.equal(1);
      stream.close();
    });
  });
}
