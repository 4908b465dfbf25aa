import { randomUUID } from "node:crypto";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { startService, type TestService } from "../support/service.ts";

type Version = "1.1" | "2";
const transports: [string, (baseUrl: string) => Transport][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ...(["1.1", "2"] satisfies Version[]).flatMap((httpVersion): [string, (baseUrl: string) => Transport][] => [
    [`Connect, JSON, HTTP/${httpVersion}`, (baseUrl) => createConnectTransport({ baseUrl, httpVersion })],
    [
      `Connect, binary, HTTP/${httpVersion}`,
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion, useBinaryFormat: true }),
    ],
    [`gRPC-Web, HTTP/${httpVersion}`, (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion })],
  ]),
];

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (reason) {
    return ConnectError.from(reason);
  }
  throw new Error("the call succeeded");
}

async function expectFailure(call: Promise<unknown>, code: Code, reason: string, message?: string) {
  const error = await failure(call);
  expect([Code[error.code], reasonOf(error)], error.message).to.eql([Code[code], reason]);
  if (message !== undefined) expect(error.rawMessage).to.equal(message);
  return error;
}

describe("the protocols", () => {
  let service: TestService;
  let alice: string;
  let bob: string;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop(1_000));

  beforeEach(async () => {
    [alice, bob] = [randomUUID(), randomUUID()];
    const users = [alice, bob].map((id) => ({ id, userName: `user-${id}`, firstName: "F", lastName: "L" }));
    await service.graph.upsertUsers({ users }, await service.acting());
  });

  for (const [name, transport] of transports) {
    for (const listener of ["public", "internal"] as const) {
      describe(`${name} on the ${listener} port`, () => {
        const client = () =>
          createClient(
            PrivacyControlService,
            transport(listener === "public" ? service.publicUrl : service.internalUrl),
          );
        const options = async (id = alice) =>
          listener === "public"
            ? { headers: { authorization: `Bearer ${await service.userToken(id)}` } }
            : await service.acting(id);

        it("blocks, lists and unblocks", async () => {
          const { block } = await client().blockUser({ userId: bob.toUpperCase() }, await options());
          expect(block?.user).to.deep.include({ id: bob, userName: `user-${bob}`, isVerified: false });
          expect(block?.createdAt?.seconds).to.be.a("bigint");
          const listed = await client().listBlockedUsers({}, await options());
          expect(listed.blocks.map(({ id }) => id)).to.eql([block?.id]);
          expect(listed.nextPageToken).to.equal("");
          await client().unblockUser({ userId: bob }, await options());
          expect((await client().listBlockedUsers({}, await options())).blocks).to.eql([]);
        });

        it("mutes, lists and unmutes", async () => {
          const { mute } = await client().muteUser({ userId: bob }, await options());
          expect((await client().listMutedUsers({ pageSize: 5_000 }, await options())).mutes).to.eql([mute]);
          await client().unmuteUser({ userId: bob }, await options());
          expect((await client().listMutedUsers({}, await options())).mutes).to.eql([]);
        });

        it("reads and changes settings", async () => {
          await client().updatePrivacySetting(
            { setting: PrivacySetting.GROUPS, value: Audience.NONE },
            await options(),
          );
          const { settings } = await client().getPrivacySettings({}, await options());
          expect(settings).to.deep.include({
            groups: Audience.NONE,
            lastSeen: Audience.ALL,
            status: Audience.ALL,
          });
        });

        it("reports failures with code, reason and message", async () => {
          await expectFailure(
            client().blockUser({ userId: alice }, await options()),
            Code.InvalidArgument,
            "CANNOT_BLOCK_SELF",
            "Cannot block yourself",
          );
          await client().blockUser({ userId: bob }, await options());
          await expectFailure(
            client().blockUser({ userId: bob }, await options()),
            Code.AlreadyExists,
            "USER_ALREADY_BLOCKED",
            "User already blocked",
          );
          await expectFailure(
            client().muteUser({ userId: randomUUID() }, await options()),
            Code.NotFound,
            "USER_NOT_FOUND",
            "User not found",
          );
          const invalid = await expectFailure(
            client().updatePrivacySetting({}, await options()),
            Code.InvalidArgument,
            "INVALID_REQUEST",
          );
          const [badRequest] = invalid.findDetails(BadRequestSchema);
          expect(badRequest?.fieldViolations.map(({ field }) => field)).to.eql(["setting", "value"]);
        });

        it("answers a request with very many faults in a few kilobytes", async () => {
          const userIds = Array<string>(20_000).fill("");
          const failure = await expectFailure(
            client().listRelationships({ userIds }, await options()),
            Code.InvalidArgument,
            "INVALID_REQUEST",
          );
          expect(failure.rawMessage).to.match(
            /^userIds must contain no more than 100 item\(s\); .{500,2000}$/,
          );
        });

        it("asks for a token, of the right kind", async () => {
          const token = (value: string) => ({ headers: { authorization: value, "x-acting-user": alice } });
          const call = (value?: string) =>
            client().listBlockedUsers({}, value === undefined ? {} : token(value));
          await expectFailure(
            call(),
            Code.Unauthenticated,
            "TOKEN_REQUIRED",
            "Authentication token is required",
          );
          await expectFailure(call("Bearer x"), Code.Unauthenticated, "TOKEN_MALFORMED", "Malformed token");
          const expired = `Bearer ${await service.userToken(alice, -1)}`;
          const wrongKind =
            listener === "public" ? await service.serviceToken() : await service.userToken(alice);
          await expectFailure(
            call(`Bearer ${wrongKind}`),
            Code.Unauthenticated,
            "TOKEN_INVALID",
            "Invalid token",
          );
          if (listener === "public")
            await expectFailure(call(expired), Code.Unauthenticated, "TOKEN_EXPIRED");
        });

        it("does not know an acting user that is not there", async () => {
          const call = client().getPrivacySettings({}, await options(randomUUID()));
          await (listener === "public"
            ? expectFailure(call, Code.Unauthenticated, "TOKEN_INVALID", "Invalid token")
            : expectFailure(call, Code.NotFound, "USER_NOT_FOUND", "User not found"));
        });
      });
    }

    it(`${name}: the graph service is not on the public port`, async () => {
      const graph = createClient(GraphService, transport(service.publicUrl));
      const { code } = await failure(graph.getUser({ userId: alice }, await service.acting()));
      expect(Code[code]).to.equal(Code[Code.Unimplemented]);
    });
  }

  it("a service must name the user for whom it acts, and have the scope", async () => {
    const client = createClient(PrivacyControlService, createGrpcTransport({ baseUrl: service.internalUrl }));
    await expectFailure(
      client.getPrivacySettings({}, await service.acting()),
      Code.InvalidArgument,
      "INVALID_ACTING_USER",
    );
    await expectFailure(
      client.getPrivacySettings({}, await service.acting("alice")),
      Code.InvalidArgument,
      "INVALID_ACTING_USER",
    );
    const headers = {
      authorization: `Bearer ${await service.serviceToken("graph.read graph.write")}`,
      "x-acting-user": alice,
    };
    await expectFailure(client.getPrivacySettings({}, { headers }), Code.PermissionDenied, "SCOPE_MISSING");
  });
});
