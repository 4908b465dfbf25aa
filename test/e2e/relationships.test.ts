import { randomUUID } from "node:crypto";
import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { type ImportedEdge, ImportedEdgeSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import {
  type UserRelationship,
  UserRelationshipSchema,
} from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { MuteScope } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { privacyControlClients } from "../support/privacy-control-clients.ts";
import { startService, type TestService } from "../support/service.ts";

const path = "/api/v1/e-social/privacy-control/relationships";
/** Of 2025-12-11T10:30:45Z, with a part of a second. */
const createdAt = { seconds: 1_765_449_045n, nanos: 123_456_000 };
const created = "2025-12-11T10:30:45Z";

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`relationships over the network on ${backend}`, () => {
    let service: TestService;
    before(async function () {
      service = await startService(await databaseUrl(this));
    });
    after(() => service?.stop(1_000));

    let [me, ann, bob] = [] as unknown as [string, string, string];
    beforeEach(async () => {
      [me, ann, bob] = [randomUUID(), randomUUID(), randomUUID()];
      const users = [me, ann, bob].map((id) => ({ id, userName: "someone" }));
      await service.graph.upsertUsers({ users }, await service.acting());
    });

    async function store(kind: "follow" | "block" | "mute", facts: Partial<ImportedEdge>): Promise<void> {
      const edge = create(ImportedEdgeSchema, { ownerId: me, targetId: ann, ...facts } as object);
      edge.createdAt = { $typeName: "google.protobuf.Timestamp", ...createdAt };
      async function* request() {
        yield { importId: randomUUID(), records: [{ record: { case: kind, value: edge } }] };
      }
      const { progress } = await service.graph.importEdges(request(), await service.acting());
      expect(progress?.stored).to.equal(1n);
    }

    /** Follows and mutes the one, blocks and mutes the other for a while. */
    async function storeAll(): Promise<string> {
      const expiresAt = timestampFromDate(new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 3_600_000));
      await store("follow", {});
      await store("mute", { scopes: [MuteScope.NOTIFICATIONS] });
      await store("block", { targetId: bob, expiresAt });
      await store("mute", { targetId: bob });
      return new Date(Number(expiresAt.seconds) * 1_000).toISOString().replace(".000Z", "Z");
    }

    describe("by REST", () => {
      const query = (...ids: string[]) => ids.map((id) => `userIds=${id}`).join("&");
      const get = async (parameters: string, as = me) => {
        const { status, headers, text } = await service.rest("GET", `${path}?${parameters}`, { as });
        const whole = text.replace(/"action_time":"[^"]*"/, '"action_time":"now"');
        return { status, text: whole, reason: headers.get("x-error-reason") };
      };
      const retrieved = (data: unknown) => ({
        status: 200,
        text: JSON.stringify({
          ...{ success: true, httpStatus: "OK", message: "Relationships retrieved successfully" },
          ...{ action_time: "now", data },
        }),
        reason: null,
      });
      const nothing = (userId: string) => ({ userId, following: null, blocking: null, muting: null });

      it("are the documented answer, with expiry and scopes where there are some", async () => {
        const expiresAt = await storeAll();
        expect(await get(query(ann, bob))).to.eql(
          retrieved([
            {
              userId: ann,
              following: { createdAt: created },
              blocking: null,
              muting: { createdAt: created, scopes: ["notifications"] },
            },
            {
              userId: bob,
              following: null,
              blocking: { createdAt: created, expiresAt },
              muting: { createdAt: created },
            },
          ]),
        );
      });

      it("have the order of the parameters, duplicates and capitals included", async () => {
        await store("block", {});
        const blocking = { createdAt: created };
        expect(await get(query(bob, ann.toUpperCase(), bob, ann))).to.eql(
          retrieved([
            nothing(bob),
            { ...nothing(ann), blocking },
            nothing(bob),
            { ...nothing(ann), blocking },
          ]),
        );
      });

      it("are those of a stranger with an unknown or erased user and with oneself", async () => {
        await store("mute", {});
        await service.graph.deleteUser({ userId: ann }, await service.acting());
        const unknown = randomUUID();
        const ids = [unknown, ann, me];
        expect(await get(query(...ids))).to.eql(retrieved(ids.map(nothing)));
      });

      it("are none when nobody is named, and a hundred at most", async () => {
        const ids = Array.from({ length: 101 }, () => randomUUID() as string);
        expect(await get("")).to.eql(retrieved([]));
        expect(await get(query(...ids.slice(1)))).to.eql(retrieved(ids.slice(1).map(nothing)));
        const { status, reason } = await get(query(...ids));
        expect([status, reason]).to.eql([400, "INVALID_REQUEST"]);
      });

      it("take the name of the definition too, and refuse what is no list of ids", async () => {
        expect(await get(`user_ids=${ann}&user_ids=${bob}`)).to.eql(retrieved([nothing(ann), nothing(bob)]));
        for (const parameters of [
          `userIds=${ann}&user_ids=${bob}`,
          `userIds=${ann},${bob}`,
          `userIds[]=${ann}`,
          "userIds=",
          "userIds=ann",
          `userIds=${ann}&userId=${bob}`,
        ]) {
          const { status, reason } = await get(parameters);
          expect([status, reason], parameters).to.eql([400, "INVALID_REQUEST"]);
        }
      });

      it("need a known user", async () => {
        const { status, reason } = await get(query(ann), randomUUID());
        expect([status, reason]).to.eql([401, "TOKEN_INVALID"]);
        expect((await service.rest("GET", `${path}?${query(ann)}`)).status).to.equal(401);
      });
    });

    for (const { name, connect, optionsFor } of privacyControlClients) {
      describe(`by ${name}`, () => {
        async function list(userIds: string[], as = me): Promise<UserRelationship[]> {
          const client = connect(service);
          return (await client.listRelationships({ userIds }, await optionsFor(service, as))).relationships;
        }
        const failureOf = async (call: Promise<unknown>) => {
          const failure = ConnectError.from(
            await call.then(
              () => undefined,
              (error: unknown) => error,
            ),
          );
          return [Code[failure.code], reasonOf(failure)];
        };

        it("have times to the microsecond", async () => {
          const expiresAt = await storeAll();
          const found = await list([ann, bob.toUpperCase(), me]);
          const exactly = "2025-12-11T10:30:45.123456Z";
          expect(found.map((each) => toJson(UserRelationshipSchema, each))).to.eql([
            {
              userId: ann,
              following: { createdAt: exactly },
              muting: { createdAt: exactly, scopes: ["MUTE_SCOPE_NOTIFICATIONS"] },
            },
            {
              userId: bob,
              blocking: { createdAt: exactly, expiresAt },
              muting: { createdAt: exactly },
            },
            { userId: me },
          ]);
        });

        it("are none when nobody is named, a hundred at most, and need a known user", async () => {
          const ids = Array.from({ length: 101 }, () => randomUUID() as string);
          expect(await list([])).to.eql([]);
          expect(await list(ids.slice(1))).to.have.length(100);
          for (const wrong of [ids, [""], ["ann"]])
            expect(await failureOf(list(wrong))).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
          expect(await failureOf(list([ann], randomUUID()))).to.eql(
            name === "gRPC with a service's token"
              ? ["NotFound", "USER_NOT_FOUND"]
              : ["Unauthenticated", "TOKEN_INVALID"],
          );
        });
      });
    }
  });
}
