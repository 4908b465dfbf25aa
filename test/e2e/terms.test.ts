import { randomUUID } from "node:crypto";
import { create, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { type ImportRecord, ImportRecordSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { MuteScope } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";

const base = "/api/v1/e-social/privacy-control";
const { CONTENT, NOTIFICATIONS } = MuteScope;

/** A time from now, to the microsecond. */
const inSeconds = (seconds: number, micros = 0) =>
  create(TimestampSchema, {
    seconds: BigInt(Math.floor(Date.now() / 1_000) + seconds),
    nanos: micros * 1_000,
  });
const day = 86_400;
const isoOf = ({ seconds }: Timestamp) =>
  new Date(Number(seconds) * 1_000).toISOString().replace(".000Z", "Z");

async function failureOf(call: Promise<unknown>): Promise<[string, string | undefined, string]> {
  const failure = await call.then(
    () => expect.fail("the call succeeded"),
    (reason: unknown) => ConnectError.from(reason),
  );
  return [Code[failure.code], reasonOf(failure), failure.rawMessage];
}

async function* only<T>(message: T): AsyncIterable<T> {
  yield message;
}

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`expiring and scoped blocks and mutes, on ${backend}`, () => {
    let service: TestService;
    let [ann, bob, carl] = ["", "", ""];
    before(async function () {
      service = await startService(await databaseUrl(this));
    });
    after(() => service?.stop(1_000));

    const usersOf = (...ids: string[]) => ids.map((id) => ({ id, userName: `user-${id}` }));
    beforeEach(async () => {
      [ann, bob, carl] = [randomUUID(), randomUUID(), randomUUID()];
      await service.graph.upsertUsers({ users: usersOf(ann, bob, carl) }, await service.acting());
    });
    const relationship = async (userId: string, otherUserId: string) => {
      const { $typeName, ...found } = await service.graph.getRelationship(
        { userId, otherUserId },
        await service.acting(),
      );
      return found;
    };

    const transports = {
      gRPC: () => createGrpcTransport({ baseUrl: service.internalUrl }),
      "gRPC, public": () => createGrpcTransport({ baseUrl: service.publicUrl }),
      "Connect, JSON": () => createConnectTransport({ baseUrl: service.internalUrl, httpVersion: "2" }),
      "Connect, binary": () =>
        createConnectTransport({ baseUrl: service.publicUrl, httpVersion: "1.1", useBinaryFormat: true }),
    };
    for (const [name, transport] of Object.entries(transports)) {
      describe(`over ${name}`, () => {
        let control: Client<typeof PrivacyControlService>;
        let options: CallOptions;
        beforeEach(async () => {
          control = createClient(PrivacyControlService, transport());
          options =
            name.includes("public") || name.includes("binary")
              ? { headers: { authorization: `Bearer ${await service.userToken(ann)}` } }
              : await service.acting(ann);
        });

        it("are made, listed and found in the relationship, to the microsecond", async () => {
          const [blockEnds, muteEnds] = [inSeconds(day, 123_456), inSeconds(2 * day, 1)];
          const { block } = await control.blockUser({ userId: bob, expiresAt: blockEnds }, options);
          expect(block?.expiresAt).to.eql(blockEnds);
          const { mute } = await control.muteUser(
            { userId: bob, expiresAt: { ...muteEnds, nanos: muteEnds.nanos + 999 }, scopes: [NOTIFICATIONS] },
            options,
          );
          expect([mute?.expiresAt, mute?.scopes]).to.eql([muteEnds, [NOTIFICATIONS]]);
          expect((await control.listBlockedUsers({}, options)).blocks).to.eql([block]);
          expect((await control.listMutedUsers({}, options)).mutes).to.eql([mute]);
          const own = {
            blocking: true,
            muting: true,
            blockingExpiresAt: blockEnds,
            mutingExpiresAt: muteEnds,
          };
          const none = { following: false, followedBy: false, blockedBy: false, mutedBy: false };
          expect(await relationship(ann, bob)).to.eql({
            ...{ ...none, ...own, mutingScopes: [NOTIFICATIONS], mutedByScopes: [] },
          });
          expect(await relationship(bob, ann)).to.eql({
            ...{ ...none, blocking: false, muting: false, blockedBy: true, mutedBy: true },
            ...{ blockedByExpiresAt: blockEnds, mutedByExpiresAt: muteEnds },
            ...{ mutingScopes: [], mutedByScopes: [NOTIFICATIONS] },
          });
        });

        it("have no expiry and no scopes where none were chosen", async () => {
          const { block } = await control.blockUser({ userId: bob }, options);
          const { mute } = await control.muteUser({ userId: bob }, options);
          expect([block?.expiresAt, mute?.expiresAt, mute?.scopes]).to.eql([undefined, undefined, []]);
        });

        it("show both scopes when both were chosen, in the order of their values", async () => {
          const { mute } = await control.muteUser({ userId: bob, scopes: [NOTIFICATIONS, CONTENT] }, options);
          expect(mute?.scopes).to.eql([CONTENT, NOTIFICATIONS]);
        });

        it("are changed by the mask, else in the fields that are set", async () => {
          const [first, second] = [inSeconds(day), inSeconds(2 * day)];
          const { mute } = await control.muteUser({ userId: bob, expiresAt: first }, options);
          let expected = mute;
          for (const [change, outcome] of [
            [{}, {}],
            [{ scopes: [CONTENT] }, { scopes: [CONTENT] }],
            [{ expiresAt: second }, { expiresAt: second }],
            [{ updateMask: { paths: [] }, expiresAt: first, scopes: [NOTIFICATIONS] }, {}],
            [{ updateMask: { paths: ["scopes"] }, expiresAt: first }, { scopes: [] }],
            [{ updateMask: { paths: ["expires_at"] }, scopes: [CONTENT] }, { expiresAt: undefined }],
            [
              { updateMask: { paths: ["scopes", "expires_at"] }, expiresAt: first, scopes: [NOTIFICATIONS] },
              { expiresAt: first, scopes: [NOTIFICATIONS] },
            ],
            [
              { expiresAt: second, scopes: [CONTENT, NOTIFICATIONS] },
              { expiresAt: second, scopes: [CONTENT, NOTIFICATIONS] },
            ],
          ] as const) {
            const request = change as MessageInitShape<typeof PrivacyControlService.method.updateMute.input>;
            const updated = await control.updateMute({ userId: bob, ...request }, options);
            expected = { ...expected, ...outcome } as typeof mute;
            expect(JSON.parse(JSON.stringify(updated.mute, plain))).to.eql(
              JSON.parse(JSON.stringify(expected, plain)),
            );
          }
          const { block } = await control.blockUser({ userId: bob }, options);
          const set = await control.updateBlock({ userId: bob, expiresAt: first }, options);
          expect(set.block).to.eql({ ...block, expiresAt: first });
          const cleared = await control.updateBlock(
            { userId: bob, updateMask: { paths: ["expires_at"] } },
            options,
          );
          expect(cleared.block).to.eql(block);
        });

        it("are refused where they are wrong, and nothing is stored", async () => {
          const invalid = [
            "InvalidArgument",
            "INVALID_EXPIRY",
            "The expiry must be at least a minute and at most ten years ahead",
          ];
          for (const expiresAt of [inSeconds(30), inSeconds(-day), inSeconds(3_654 * day)]) {
            expect(await failureOf(control.blockUser({ userId: bob, expiresAt }, options))).to.eql(invalid);
            expect(await failureOf(control.muteUser({ userId: bob, expiresAt }, options))).to.eql(invalid);
            expect(await failureOf(control.updateMute({ userId: bob, expiresAt }, options))).to.eql(invalid);
          }
          const refused = async (call: Promise<unknown>) => (await failureOf(call)).slice(0, 2);
          const malformed = ["InvalidArgument", "INVALID_REQUEST"];
          for (const path of ["user_id", "expires_at.seconds", "*"]) {
            const update = { userId: bob, updateMask: { paths: [path] } };
            expect(await refused(control.updateBlock(update, options))).to.eql(malformed);
            expect(await refused(control.updateMute(update, options))).to.eql(malformed);
          }
          const scopes = { "0": [0], unknown: [99], twice: [CONTENT, CONTENT] };
          for (const wrong of Object.values(scopes) as MuteScope[][])
            expect(await refused(control.muteUser({ userId: bob, scopes: wrong }, options))).to.eql(
              malformed,
            );
          expect((await relationship(ann, bob)).muting).to.equal(false);
          expect((await relationship(ann, bob)).blocking).to.equal(false);
        });

        it("cannot be changed where there is nothing to change", async () => {
          const expiresAt = inSeconds(day);
          const update = (userId: string) => [
            failureOf(control.updateBlock({ userId, expiresAt }, options)),
            failureOf(control.updateMute({ userId, expiresAt }, options)),
          ];
          expect(await Promise.all(update(bob))).to.eql([
            ["NotFound", "USER_NOT_BLOCKED", "User not blocked"],
            ["NotFound", "USER_NOT_MUTED", "User not muted"],
          ]);
          for (const failure of await Promise.all(update(randomUUID())))
            expect(failure).to.eql(["NotFound", "USER_NOT_FOUND", "User not found"]);
        });
      });
    }

    it("are refused with times that protobuf does not allow", async () => {
      const control = createClient(PrivacyControlService, transports.gRPC());
      const options = await service.acting(ann);
      for (const [seconds, nanos] of [
        [253_402_300_800n, 0],
        [-62_135_596_801n, 0],
        [2n ** 63n - 1n, 999_999_999],
        [-(2n ** 63n), 0],
        [inSeconds(day).seconds, -1],
        [inSeconds(day).seconds, 1_000_000_000],
      ] as const) {
        const expiresAt = create(TimestampSchema, { seconds, nanos });
        for (const call of [control.blockUser, control.muteUser, control.updateBlock, control.updateMute])
          expect(await failureOf(call({ userId: bob, expiresAt }, options))).to.eql([
            ...["InvalidArgument", "INVALID_REQUEST", "expiresAt must be in the years 1 to 9999"],
          ]);
      }
    });

    describe("over REST", () => {
      const call = (method: string, path: string, body?: unknown) =>
        service.rest(method, base + path, { as: ann, body });
      const dataOf = async (answer: ReturnType<typeof call>) => (await answer).json.data;

      it("show an expiry and scopes only where they are set, after the documented members", async () => {
        const ends = inSeconds(day, 999_999);
        const expiresAt = `${isoOf(ends).slice(0, -1)}.999999Z`;
        const muted = await call("POST", `/mute/${bob}`, { expiresAt, scopes: ["notifications"] });
        expect(muted.status, muted.text).to.equal(200);
        expect(Object.keys(muted.json.data)).to.eql(["id", "user", "createdAt", "expiresAt", "scopes"]);
        expect(muted.json).to.deep.include({ success: true, message: "User muted successfully" });
        expect(muted.json.data).to.include({ expiresAt: isoOf(ends) });
        expect(muted.json.data.scopes).to.eql(["notifications"]);
        expect(await dataOf(call("GET", "/muted"))).to.eql([muted.json.data]);
        const blocked = await call("POST", `/block/${bob}`, { expiresAt });
        expect(Object.keys(blocked.json.data)).to.eql(["id", "user", "createdAt", "expiresAt"]);
        expect(await dataOf(call("GET", "/blocked"))).to.eql([blocked.json.data]);
        for (const path of ["mute", "block"]) {
          const plain = await call("POST", `/${path}/${carl}`, {});
          expect(Object.keys(plain.json.data), path).to.eql(["id", "user", "createdAt"]);
        }
      });

      it("are changed by what the body has, and cleared by null", async () => {
        const expiresAt = isoOf(inSeconds(day));
        const { json: made } = await call("POST", `/mute/${bob}`, { expiresAt, scopes: ["content"] });
        const change = async (body: unknown) => {
          const answer = await call("PATCH", `/mute/${bob}`, body);
          expect(answer.json, answer.text).to.deep.include({ message: "Mute updated successfully" });
          return answer.json.data;
        };
        expect(await change({})).to.eql(made.data);
        expect(await change({ scopes: null })).to.eql(without(made.data, "scopes"));
        expect(await change({ scopes: ["content", "notifications"] })).to.eql({
          ...made.data,
          scopes: ["content", "notifications"],
        });
        expect(await change({ expiresAt: null, scopes: ["content"] })).to.eql(
          without(made.data, "expiresAt"),
        );
        await call("POST", `/block/${bob}`);
        const { json } = await call("PATCH", `/block/${bob}`, { expiresAt });
        expect(json).to.deep.include({ message: "Block updated successfully" });
        expect(json.data.expiresAt).to.equal(expiresAt);
        expect(await dataOf(call("PATCH", `/block/${bob}`, { expiresAt: null }))).to.eql(
          without(json.data, "expiresAt"),
        );
      });

      it("are refused as the documented errors are", async () => {
        const soon = { expiresAt: isoOf(inSeconds(30)) };
        const wrong = "The expiry must be at least a minute and at most ten years ahead";
        const expected = async (answer: ReturnType<typeof call>, status: number, message: string) => {
          const { status: actual, json } = await answer;
          expect([actual, json.success, json.message, json.data]).to.eql([status, false, message, message]);
        };
        await expected(call("POST", `/block/${bob}`, soon), 400, wrong);
        await expected(call("POST", `/mute/${bob}`, soon), 400, wrong);
        await expected(call("PATCH", `/block/${bob}`, {}), 404, "User not blocked");
        await expected(call("PATCH", `/mute/${bob}`, { scopes: null }), 404, "User not muted");
        await expected(call("PATCH", `/mute/${randomUUID()}`, {}), 404, "User not found");
        await expected(call("POST", `/block/${ann}`, soon), 400, "Cannot block yourself");
        const later = { expiresAt: isoOf(inSeconds(day)) };
        await call("POST", `/block/${bob}`);
        await expected(call("POST", `/block/${bob}`, later), 400, "User already blocked");
        expect(Object.keys((await dataOf(call("GET", "/blocked")))[0])).to.eql(["id", "user", "createdAt"]);
      });
    });

    it("are exported, and the same after an import into an empty database", async function () {
      this.timeout(60_000);
      const control = createClient(PrivacyControlService, transports.gRPC());
      const asAnn = await service.acting(ann);
      const asService = await service.acting();
      const [soon, later] = [inSeconds(day, 7), inSeconds(9 * day, 999_999)];
      await control.blockUser({ userId: bob, expiresAt: soon }, asAnn);
      await control.updateBlock({ userId: bob, expiresAt: later }, asAnn);
      await control.muteUser({ userId: bob, scopes: [CONTENT, NOTIFICATIONS] }, asAnn);
      await control.muteUser({ userId: carl, expiresAt: soon, scopes: [NOTIFICATIONS] }, asAnn);
      const exported = await exportOf(service, ann);
      expect(exported.some(({ record: { value } }) => value && "expiresAt" in value)).to.equal(true);

      const other = await startService(await databaseUrl(this));
      try {
        await other.graph.upsertUsers({ users: usersOf(ann, bob, carl) }, asService);
        const { progress } = await other.graph.importEdges(
          only({ importId: randomUUID(), records: exported }),
          asService,
        );
        expect(progress?.skipped).to.eql([]);
        expect((await exportOf(other, ann)).map(said)).to.eql(exported.map(said));
        const elsewhere = createClient(
          PrivacyControlService,
          createGrpcTransport({ baseUrl: other.internalUrl }),
        );
        const { blocks } = await elsewhere.listBlockedUsers({}, asAnn);
        expect(blocks.map(({ expiresAt }) => expiresAt)).to.eql([later]);
        const { mutes } = await elsewhere.listMutedUsers({}, asAnn);
        expect(mutes.map(({ expiresAt, scopes }) => [expiresAt, scopes])).to.have.deep.members([
          [undefined, [CONTENT, NOTIFICATIONS]],
          [soon, [NOTIFICATIONS]],
        ]);
      } finally {
        await other.stop(1_000);
      }
    });

    it("are made neither shorter nor narrower by an import", async () => {
      const control = createClient(PrivacyControlService, transports.gRPC());
      const [asAnn, asService] = [await service.acting(ann), await service.acting()];
      const [soon, later] = [inSeconds(day), inSeconds(9 * day)];
      await control.blockUser({ userId: bob, expiresAt: later }, asAnn);
      await control.blockUser({ userId: carl }, asAnn);
      await control.muteUser({ userId: bob, expiresAt: later, scopes: [CONTENT] }, asAnn);
      await control.muteUser({ userId: carl }, asAnn);
      const before = [await relationship(ann, bob), await relationship(ann, carl)];
      const records = [bob, carl].flatMap((targetId): MessageInitShape<typeof ImportRecordSchema>[] => [
        { record: { case: "block", value: { ownerId: ann, targetId, expiresAt: soon } } },
        { record: { case: "mute", value: { ownerId: ann, targetId, expiresAt: soon, scopes: [CONTENT] } } },
      ]);
      const { progress } = await service.graph.importEdges(
        only({ importId: randomUUID(), records }),
        asService,
      );
      expect(progress).to.deep.include({ stored: 0n, unchanged: 4n });
      expect([await relationship(ann, bob), await relationship(ann, carl)]).to.eql(before);
    });
  });
}

async function exportOf(service: TestService, userId: string): Promise<ImportRecord[]> {
  const records: ImportRecord[] = [];
  for await (const message of service.graph.exportRecords({ userId }, await service.acting()))
    records.push(...message.records);
  return records;
}

const said = (record: ImportRecord) => toJsonString(ImportRecordSchema, record);
const plain = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);

function without(data: Record<string, unknown>, name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).filter(([member]) => member !== name));
}
