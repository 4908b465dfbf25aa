import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import type { ConsistencyToken } from "../../src/domain/consistency.ts";
import { ConsistencyTokens } from "../../src/service/consistency-tokens.ts";
import { openDatabase } from "../../src/store/database.ts";
import { scrape } from "../support/scrape.ts";
import { startService, type TestService } from "../support/service.ts";

const transports: Record<string, (baseUrl: string) => Transport> = {
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC with a compressed request": (baseUrl) =>
    createGrpcTransport({ baseUrl, sendCompression: compressionGzip, compressMinBytes: 0 }),
  Connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
};
const unmetTotal = "privacy_control_consistency_tokens_unmet_total";
const setting = PrivacySetting.GROUPS;

describe("consistency tokens", () => {
  let service: TestService;
  let tokens: ConsistencyTokens;
  let ann: string;
  let bob: string;
  before(async () => {
    service = await startService(undefined, {}, async (options) => {
      const database = await openDatabase(options);
      await database.migrate();
      tokens = new ConsistencyTokens(await database.signingKey());
      return database;
    });
  });
  after(() => service.stop(1_000));
  beforeEach(async () => {
    [ann, bob] = [randomUUID(), randomUUID()];
    const users = [ann, bob].map((id) => ({ id, userName: "someone" }));
    await service.graph.upsertUsers({ users }, await service.acting());
  });

  const failureOf = async (call: Promise<unknown>) => {
    const failure = ConnectError.from(await call.catch((reason: unknown) => reason));
    return [Code[failure.code], reasonOf(failure)];
  };

  for (const [name, transport] of Object.entries(transports)) {
    it(`are in the header of every write over ${name}`, async () => {
      const control = createClient(PrivacyControlService, transport(service.internalUrl));
      const graph = createClient(GraphService, transport(service.internalUrl));
      const seen: (string | null)[] = [];
      const options = {
        ...(await service.acting(ann)),
        onHeader: (headers: Headers) => void seen.push(headers.get("consistency-token")),
      };
      const pair = { followerId: ann, followeeId: bob };
      const inADay = timestampFromMs(Date.now() + 86_400_000);
      const records = [{ record: { case: "mute" as const, value: { ownerId: bob, targetId: ann } } }];
      const writes = [
        () => graph.upsertUsers({ users: [{ id: randomUUID(), userName: "new" }] }, options),
        () => graph.followUser(pair, options),
        () => graph.unfollowUser(pair, options),
        () => control.blockUser({ userId: bob }, options),
        () => control.updateBlock({ userId: bob, expiresAt: inADay }, options),
        () => control.unblockUser({ userId: bob }, options),
        () => control.muteUser({ userId: bob }, options),
        () => control.updateMute({ userId: bob, scopes: [MuteScope.CONTENT] }, options),
        () => control.unmuteUser({ userId: bob }, options),
        () => control.updatePrivacySetting({ setting, value: Audience.NONE }, options),
        () => control.updatePrivacyExceptions({ setting, addUserIds: [bob] }, options),
        () => graph.deleteUser({ userId: bob }, options),
        () => graph.deleteUser({ userId: bob }, options),
        () => control.unblockUser({ userId: ann }, options),
      ];
      const written = writes.length - 2;
      for (const write of writes) await write();
      if (name === "gRPC") {
        const importId = randomUUID();
        const messages = async function* () {
          yield { importId, firstRecord: 0n, records };
        };
        await graph.importEdges(messages(), options);
      }
      expect(seen.length).to.be.at.least(writes.length);
      const kinds = seen.map((text) => tokens.read(text ?? "").kind);
      expect(kinds.slice(0, written)).to.eql(Array(written).fill("write"));
      expect(kinds.slice(written)).to.eql(Array(seen.length - written).fill("state"));
    });
  }

  it("are in the header of every write over REST, and not in failures and reads", async () => {
    const token = async (method: string, path: string, body?: unknown) => {
      const { status, headers } = await service.rest(method, path, { as: ann, body });
      const text = headers.get("consistency-token");
      return [status, text === null ? text : tokens.read(text).kind];
    };
    const base = "/api/v1/e-social/privacy-control";
    const settings = "/users/me/privacy";
    expect(await token("POST", `${base}/block/${bob}`)).to.eql([200, "write"]);
    expect(await token("POST", `${base}/block/${bob}`)).to.eql([400, null]);
    const later = { expiresAt: new Date(Date.now() + 86_400_000) };
    expect(await token("PATCH", `${base}/block/${bob}`, later)).to.eql([200, "write"]);
    expect(await token("PATCH", `${base}/block/${bob}`, {})).to.eql([200, "state"]);
    expect(await token("PATCH", `${base}/mute/${bob}`, {})).to.eql([404, null]);
    expect(await token("DELETE", `${base}/unblock/${bob}`)).to.eql([200, "write"]);
    expect(await token("DELETE", `${base}/unblock/${bob}`)).to.eql([200, "state"]);
    expect(await token("POST", `${base}/mute/${bob}`)).to.eql([200, "write"]);
    expect(await token("DELETE", `${base}/unmute/${bob}`)).to.eql([200, "write"]);
    const change = { setting: "groups", value: "none" };
    expect(await token("PATCH", settings, change)).to.eql([200, "write"]);
    expect(await token("PATCH", settings, change)).to.eql([200, "state"]);
    expect(await token("GET", settings)).to.eql([200, null]);
  });

  describe("of decisions", () => {
    const access = () => createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
    const ask = () => ({
      viewer: { case: "viewerId" as const, value: ann },
      ownerId: bob,
      interaction: Interaction.VIEW_PROFILE,
    });
    const fresh = (text: string) => ({ requirement: { case: "atLeastAsFresh" as const, value: text } });
    const unmet = async () => (await scrape(service.adminUrl)).value(unmetTotal) ?? 0;

    it("name the state that they rest on, and are accepted by every method", async () => {
      const options = await service.acting();
      const { consistencyToken: first } = await access().checkAccess(ask(), options);
      const consistency = fresh(first);
      const check = await access().checkAccess({ ...ask(), consistency }, options);
      const batch = await access().batchCheckAccess({ checks: [ask(), ask()], consistency }, options);
      const { viewer, interaction } = ask();
      const filter = await access().filterUsers(
        { viewer, interaction, ownerIds: [bob], consistency },
        options,
      );
      const viewers = await access().filterViewers(
        { ownerId: bob, interaction, viewerIds: [ann], consistency },
        options,
      );
      expect(viewers.viewerIds).to.eql([ann]);
      expect(batch.results.map(({ consistencyToken }) => consistencyToken)).to.eql(["", ""]);
      for (const { consistencyToken } of [{ consistencyToken: first }, check, batch, filter, viewers])
        expect(tokens.read(consistencyToken).kind).to.equal("state");
      expect(await unmet()).to.equal(0);
    });

    it("accept the token of a write, the other requirements, and no forged token", async () => {
      const options = await service.acting();
      let written = "";
      await service.graph.followUser(
        { followerId: ann, followeeId: bob },
        {
          ...options,
          onHeader: (headers) => {
            written = headers.get("consistency-token") ?? "";
          },
        },
      );
      for (const consistency of [
        fresh(written),
        { requirement: { case: "fullyConsistent" as const, value: true } },
        { requirement: { case: "maxStaleness" as const, value: { seconds: 60n, nanos: 0 } } },
        { requirement: { case: undefined } },
      ])
        await access().checkAccess({ ...ask(), consistency }, options);
      const forged = written.replace(/^./, (first) => (first === "A" ? "B" : "A"));
      const invalid = ["InvalidArgument", "INVALID_CONSISTENCY_TOKEN"];
      const consistency = fresh(forged);
      const { viewer, interaction } = ask();
      expect(await failureOf(access().checkAccess({ ...ask(), consistency }, options))).to.eql(invalid);
      expect(await failureOf(access().batchCheckAccess({ checks: [], consistency }, options))).to.eql(
        invalid,
      );
      expect(
        await failureOf(access().filterUsers({ viewer, interaction, ownerIds: [], consistency }, options)),
      ).to.eql(invalid);
    });

    it("refuse what a request cannot ask for", async () => {
      const options = await service.acting();
      const invalid = ["InvalidArgument", "INVALID_REQUEST"];
      const single = {
        ...ask(),
        consistency: { requirement: { case: "fullyConsistent" as const, value: true } },
      };
      expect(await failureOf(access().batchCheckAccess({ checks: [single] }, options))).to.eql(invalid);
      for (const requirement of [
        { case: "fullyConsistent" as const, value: false },
        { case: "maxStaleness" as const, value: { seconds: 60n, nanos: 1 } },
        { case: "maxStaleness" as const, value: { seconds: 0n, nanos: -1 } },
        { case: "maxStaleness" as const, value: { seconds: 2n ** 63n - 1n, nanos: 0 } },
        { case: "atLeastAsFresh" as const, value: "" },
        { case: "atLeastAsFresh" as const, value: "A".repeat(4_097) },
      ]) {
        const call = access().checkAccess({ ...ask(), consistency: { requirement } }, options);
        expect(await failureOf(call)).to.eql(invalid);
      }
    });

    it("name the field of a staleness that is too long", async () => {
      const consistency = {
        requirement: { case: "maxStaleness" as const, value: { seconds: 61n, nanos: 0 } },
      };
      const call = access().checkAccess({ ...ask(), consistency }, await service.acting());
      const error = ConnectError.from(await call.catch((failure) => failure));
      expect(error.rawMessage).to.equal("consistency.maxStaleness must be from 0 to 60 seconds");
      const [{ fieldViolations } = {}] = error.findDetails(BadRequestSchema);
      expect(fieldViolations?.map(({ field }) => field)).to.eql(["consistency.max_staleness"]);
    });

    it("are as fresh as they can be when a write was lost, which is counted", async () => {
      const options = await service.acting();
      const before = await unmet();
      const lost: ConsistencyToken = { kind: "write", server: 1n, xid: 1_000n, at: 2n };
      const consistency = fresh(tokens.write(lost));
      expect((await access().checkAccess({ ...ask(), consistency }, options)).effect).to.equal(1);
      expect(await unmet()).to.equal(before + 1);
    });
  });
});
