import { once } from "node:events";
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { GrpcClient } from "../../support/grpc-client.ts";
import {
  aUserId,
  doHeader,
  secretText,
  startTestServer,
  type TestServer,
} from "../../support/transport-server.ts";

const { getUser } = GraphService.method;
const request = { userId: aUserId };

async function failureOf(reply: Promise<unknown>): Promise<ServiceError> {
  try {
    await reply;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("the call succeeded");
}

for (const fastPath of [true, false]) {
  describe(`a @grpc/grpc-js client on ${fastPath ? "the fast path" : "Connect's adapter"}`, () => {
    let server: TestServer;
    let client: GrpcClient;
    before(async () => {
      server = await startTestServer({ fastPath });
      client = new GrpcClient(server.listener.url);
    });
    after(async () => {
      client.close();
      await server.stop();
    });
    const start = (what: string, more: Record<string, string | Buffer> = {}, deadline?: number) =>
      client.start(
        getUser,
        request,
        { authorization: "t", [doHeader]: what, ...more },
        deadline === undefined ? {} : { deadline: Date.now() + deadline },
      );

    it("gets a reply", async () => {
      const reply = await start("").reply;
      expect(reply.user?.id).to.equal(aUserId);
    });

    it("gets a large reply, compressed", async () => {
      const reply = await start("", { "x-size": "100000" }).reply;
      expect(reply.user?.userName).to.have.length(100_000);
    });

    it("gets the details of an error", async () => {
      const error = await failureOf(start("privacy-error").reply);
      expect([error.code, error.details]).to.eql([status.NOT_FOUND, "User not found"]);
      const bytes = error.metadata.get("grpc-status-details-bin")[0] as Buffer;
      const [detail] = fromBinary(StatusSchema, bytes).details;
      expect(detail && anyUnpack(detail, ErrorInfoSchema)?.reason).to.equal("USER_NOT_FOUND");
    });

    it("gets the metadata of an error and its message, in any alphabet", async () => {
      const error = await failureOf(start("connect-error").reply);
      expect([error.code, error.details]).to.eql([status.ABORTED, "über % \u{1f600}\n"]);
      expect(error.metadata.get("x-meta")).to.eql(["one"]);
      expect(error.metadata.get("x-bytes-bin")).to.eql([Buffer.from([0, 1, 2])]);
    });

    it("gets only the id of an unexpected error", async () => {
      const error = await failureOf(start("plain-error").reply);
      expect([error.code, error.details]).to.eql([status.INTERNAL, "Internal server error"]);
      expect(JSON.stringify(error.metadata.toJSON())).not.to.contain(secretText);
    });

    it("sends metadata and gets headers and trailers", async () => {
      const { reply, header, status: end } = start("headers");
      await reply;
      expect((await header).get("x-many")).to.eql(["a, b"]);
      expect((await header).get("x-data-bin")).to.eql([Buffer.from("3q2+7w", "base64")]);
      expect((await end).metadata.get("x-trailer")).to.eql(["t"]);
      const echo = start("echo", { "x-in": "value", "x-in-bin": Buffer.from([1, 2, 255]) });
      await echo.reply;
      expect((await echo.header).get("x-echo")).to.eql(["value"]);
      expect((await echo.header).get("x-echo-bin")).to.eql([Buffer.from([1, 2, 255])]);
    });

    it("gets DEADLINE_EXCEEDED when its deadline passes, and the handler's signal aborts", async () => {
      const handling = server.seen.next();
      const error = await failureOf(start("await-abort", {}, 60).reply);
      expect(error.code).to.equal(status.DEADLINE_EXCEEDED);
      const { signal } = await handling;
      if (!signal.aborted) await once(signal, "abort");
    });

    it("may set a deadline beyond the range of Node's timers", async () => {
      const days = 60;
      const { reply } = start("pause", {}, days * 86_400_000);
      expect((await reply).user?.id).to.equal(aUserId);
    });

    it("aborts the handler's signal when it cancels, and the log calls it cancelled", async () => {
      server.lines.length = 0;
      const handling = server.seen.next();
      const { call, reply } = start("await-abort");
      const { signal } = await handling;
      const aborted = once(signal, "abort");
      call.cancel();
      expect((await failureOf(reply)).code).to.equal(status.CANCELLED);
      await aborted;
      while (server.lines.length === 0) await new Promise(setImmediate);
      expect(server.lines.map(({ code, level }) => [code, level])).to.eql([["canceled", 30]]);
    });

    it("is refused without a token", async () => {
      const error = await failureOf(client.start(getUser, request, {}).reply);
      expect([error.code, error.details]).to.eql([
        status.UNAUTHENTICATED,
        "Authentication token is required",
      ]);
      expect(error.metadata.get("www-authenticate")).to.eql(["Bearer"]);
    });

    it("gets UNIMPLEMENTED for an unknown method", async () => {
      const unknown = { ...getUser, name: "NoSuchMethod" } as typeof getUser;
      expect((await failureOf(client.start(unknown, request).reply)).code).to.equal(status.UNIMPLEMENTED);
    });

    it("makes 1,000 calls at once", async () => {
      const calls = Array.from({ length: 1_000 }, (_, index) => {
        const size = index % 60;
        return start("", { "x-size": String(size) }).reply.then(({ user }) => user?.userName.length === size);
      });
      expect(await Promise.all(calls)).to.eql(Array.from({ length: 1_000 }, () => true));
    });

    it("keeps 1,000 calls in flight at once", async () => {
      const calls = Array.from({ length: 1_000 }, () => start("hold").reply);
      while (
        server.seen.contexts.filter((context) => context.requestHeader.get(doHeader) === "hold").length <
        1_000
      )
        await server.seen.next();
      server.release();
      expect(await Promise.all(calls)).to.have.length(1_000);
    });
  });
}
