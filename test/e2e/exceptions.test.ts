import { randomUUID } from "node:crypto";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";

const paths = ["/users/me/privacy", "/api/v1/users/me/privacy"];
const settings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"];

const updated = JSON.stringify({
  status: true,
  code: 200,
  message: "Privacy exceptions updated successfully",
});
const retrieved = (data: unknown) =>
  JSON.stringify({ status: true, code: 200, message: "Privacy exceptions retrieved successfully", data });
const failed = (code: number, message: string, error: string) =>
  JSON.stringify({ status: false, code, message, error });
const invalid = failed(400, "Bad request", "Invalid setting or value");

const someone = (firstName: string) => ({
  id: randomUUID() as string,
  userName: firstName.toLowerCase(),
  firstName,
  lastName: "Mushi",
  profilePictureUrls: [`https://cdn.example/${firstName}.jpg`],
  isVerified: true,
});

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`exceptions over the network on ${backend}`, () => {
    let service: TestService;
    before(async function () {
      const url = await databaseUrl(this);
      service = await startService(url);
    });
    after(() => service?.stop(1_000));

    const me = someone("Alice");
    const ann = someone("Ann");
    const bob = someone("Bob");
    beforeEach(async () => {
      for (const user of [me, ann, bob]) user.id = randomUUID();
      await service.graph.upsertUsers({ users: [me, ann, bob] }, await service.acting());
    });

    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await service.rest(method, path, {
        as: me.id,
        ...(body === undefined ? {} : { body }),
      });
      return [answer.status, answer.text];
    };
    const at = (setting = "groups", path = paths[0]) => `${path}/${setting}/exceptions`;

    async function newUsers(count: number): Promise<string[]> {
      const users = Array.from({ length: count }, () => someone("Many"));
      await service.graph.upsertUsers({ users }, await service.acting());
      return users.map(({ id }) => id);
    }

    describe("by REST", () => {
      for (const path of paths) {
        it(`are kept for each setting at ${path}`, async () => {
          for (const setting of settings) {
            expect(await call("GET", at(setting, path))).to.eql([200, retrieved([])]);
            const add = { addUserIds: [ann.id.toUpperCase()] };
            expect(await call("PATCH", at(setting, path), add)).to.eql([200, updated]);
            expect(await call("GET", at(setting, path))).to.eql([200, retrieved([ann])]);
          }
        });
      }

      it("are the same at both paths", async () => {
        await call("PATCH", at("groups", paths[0]), { addUserIds: [ann.id] });
        expect(await call("GET", at("groups", paths[1]))).to.eql([200, retrieved([ann])]);
      });

      it("are added and removed in one call, newest first", async () => {
        await call("PATCH", at(), { addUserIds: [ann.id] });
        await call("PATCH", at(), { addUserIds: [bob.id, ann.id] });
        expect(await call("GET", at())).to.eql([200, retrieved([bob, ann])]);
        const body = { addUserIds: [me.id], removeUserIds: [bob.id, randomUUID()] };
        expect(await call("PATCH", at(), body)).to.eql([200, updated]);
        expect(await call("GET", at())).to.eql([200, retrieved([me, ann])]);
      });

      it("take the proto's names too, and no change at all", async () => {
        expect(await call("PATCH", at(), { add_user_ids: [ann.id], remove_user_ids: [bob.id] })).to.eql([
          200,
          updated,
        ]);
        for (const body of [{}, undefined]) expect(await call("PATCH", at(), body)).to.eql([200, updated]);
        expect(await call("GET", at())).to.eql([200, retrieved([ann])]);
      });

      it("are kept when the value changes", async () => {
        await call("PATCH", at(), { addUserIds: [ann.id] });
        for (const value of ["contact_blacklist", "none", "all", "contacts"]) {
          await call("PATCH", "/users/me/privacy", { setting: "groups", value });
          expect(await call("GET", at())).to.eql([200, retrieved([ann])]);
        }
      });

      it("show no pictures of a user whose profile-picture audience is none", async () => {
        await service.rest("PATCH", "/users/me/privacy", {
          as: ann.id,
          body: { setting: "profile_picture", value: "none" },
        });
        await call("PATCH", at(), { addUserIds: [ann.id] });
        expect(await call("GET", at())).to.eql([200, retrieved([{ ...ann, profilePictureUrls: [] }])]);
      });

      it("refuse a word that is no setting", async () => {
        for (const word of [
          "location",
          "Groups",
          "GROUPS",
          "PRIVACY_SETTING_GROUPS",
          "5",
          "unspecified",
          "%00",
        ]) {
          expect(await call("GET", at(word)), word).to.eql([400, invalid]);
          expect(await call("PATCH", at(word), { addUserIds: [ann.id] }), word).to.eql([400, invalid]);
        }
      });

      const wrong: [string, () => unknown][] = [
        ["an id that is none", () => ({ addUserIds: ["ann"] })],
        ["an id to remove that is none", () => ({ removeUserIds: [""] })],
        ["a text instead of ids", () => ({ addUserIds: ann.id })],
        ["null among the ids", () => ({ addUserIds: [null] })],
        ["more than 1,000 ids", () => ({ addUserIds: Array(1_001).fill(ann.id) })],
      ];
      for (const [what, body] of wrong) {
        it(`refuse ${what}, and change nothing`, async () => {
          expect(await call("PATCH", at(), body())).to.eql([400, invalid]);
          expect(await call("GET", at())).to.eql([200, retrieved([])]);
        });
      }

      it("refuse a field that they do not have, the setting of the path too", async () => {
        for (const field of ["add", "setting"]) {
          const body = { addUserIds: [ann.id], [field]: "groups" };
          expect(await call("PATCH", at(), body)).to.eql([
            400,
            failed(400, "Bad request", `Unknown field: ${field}`),
          ]);
        }
        expect(await call("GET", at())).to.eql([200, retrieved([])]);
      });

      it("refuse to add and remove the same user, in either case", async () => {
        const body = { addUserIds: [bob.id, ann.id.toUpperCase()], removeUserIds: [ann.id] };
        expect((await call("PATCH", at(), body))[0]).to.equal(400);
        expect(await call("GET", at())).to.eql([200, retrieved([])]);
      });

      it("are 404 for an unknown user, and change nothing", async () => {
        await call("PATCH", at(), { addUserIds: [ann.id] });
        const body = { addUserIds: [bob.id, randomUUID()], removeUserIds: [ann.id] };
        expect(await call("PATCH", at(), body)).to.eql([404, failed(404, "Not found", "User not found")]);
        expect(await call("GET", at())).to.eql([200, retrieved([ann])]);
      });

      it("are 1,000 at most", async () => {
        const ids = await newUsers(1_000);
        expect(await call("PATCH", at(), { addUserIds: ids })).to.eql([200, updated]);
        expect(await call("PATCH", at(), { addUserIds: [ann.id] })).to.eql([
          400,
          failed(400, "Bad request", "A setting can have at most 1000 exceptions"),
        ]);
        expect(await call("PATCH", at(), { addUserIds: [ann.id], removeUserIds: ids.slice(0, 1) })).to.eql([
          200,
          updated,
        ]);
        const { json } = await service.rest("GET", at(), { as: me.id });
        expect(json.data).to.have.length(1_000);
        expect(json.data[0]).to.eql(ann);
      });

      it("come in pages on request, with a link to the next", async () => {
        const ids = await newUsers(5);
        await call("PATCH", at(), { addUserIds: ids });
        for (const path of paths) {
          const seen: string[] = [];
          let next: string | undefined = `${at("groups", path)}?page_size=2`;
          let pages = 0;
          for (; next !== undefined; pages++) {
            const page = await service.rest("GET", next, { as: me.id });
            expect([page.status, page.text]).to.eql([200, retrieved(page.json.data)]);
            seen.push(...page.json.data.map(({ id }: { id: string }) => id));
            next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
            if (next !== undefined) expect(next).to.match(new RegExp(`^${at("groups", path)}\\?`));
          }
          expect(pages).to.equal(3);
          expect(seen).to.eql([...ids].sort().reverse());
        }
      });

      it("take no page token of another list, setting or user", async () => {
        await call("PATCH", at(), { addUserIds: [ann.id, bob.id] });
        const first = await service.rest("GET", `${at()}?page_size=1`, { as: me.id });
        const token = /page_token=([^&>]+)/.exec(first.headers.get("link") ?? "")?.[1];
        const refused = [400, failed(400, "Bad request", "Invalid page token")];
        expect((await call("GET", `${at()}?page_token=${token}`))[0]).to.equal(200);
        expect(await call("GET", `${at("status")}?page_token=${token}`)).to.eql(refused);
        const other = await service.rest("GET", `${at()}?page_token=${token}`, { as: ann.id });
        expect([other.status, other.text]).to.eql(refused);
        const blocked = await call("GET", `/api/v1/e-social/privacy-control/blocked?page_token=${token}`);
        expect(blocked[0]).to.equal(400);
      });

      it("want a user's token", async () => {
        for (const path of paths) {
          for (const method of ["GET", "PATCH"]) {
            const answer = await service.rest(method, at("groups", path));
            expect([answer.status, answer.text]).to.eql([
              401,
              failed(401, "Unauthorized", "Invalid or missing authentication"),
            ]);
            const unknown = await service.rest(method, at("groups", path), { as: randomUUID() });
            expect([unknown.status, unknown.text]).to.eql([
              401,
              failed(401, "Unauthorized", "Invalid or expired JWT token"),
            ]);
          }
        }
      });

      it("name the methods that they have", async () => {
        const answer = await service.rest("DELETE", at(), { as: me.id });
        expect([answer.status, answer.headers.get("allow")]).to.eql([405, "GET, HEAD, PATCH, OPTIONS"]);
        expect(answer.json).to.have.keys("status", "code", "message", "error");
      });
    });

    for (const [name, make] of [
      ["gRPC on the internal port", async () => await internal()],
      ["Connect on the public port", async () => await atPublicPort()],
    ] as const) {
      it(`are changed and listed by ${name}`, async () => {
        const { client, options } = await make();
        const setting = PrivacySetting.GROUPS;
        await client.updatePrivacyExceptions({ setting, addUserIds: [ann.id, bob.id] }, options);
        await client.updatePrivacyExceptions({ setting, removeUserIds: [bob.id] }, options);
        const { users, nextPageToken } = await client.listPrivacyExceptions({ setting }, options);
        expect(users.map(({ $typeName, ...user }) => user)).to.eql([ann]);
        expect(nextPageToken).to.equal("");

        const ids = await newUsers(1_000);
        const failures: [object, string, string][] = [
          [{ setting: PrivacySetting.UNSPECIFIED }, "InvalidArgument", "INVALID_REQUEST"],
          [{ setting, addUserIds: ["ann"] }, "InvalidArgument", "INVALID_REQUEST"],
          [{ setting, addUserIds: [ann.id], removeUserIds: [ann.id] }, "InvalidArgument", "INVALID_REQUEST"],
          [{ setting, addUserIds: [randomUUID()] }, "NotFound", "USER_NOT_FOUND"],
          [{ setting, addUserIds: ids }, "FailedPrecondition", "TOO_MANY_EXCEPTIONS"],
        ];
        for (const [request, code, reason] of failures) {
          const error = await client.updatePrivacyExceptions(request, options).then(
            () => expect.fail("the call succeeded"),
            (failure: unknown) => ConnectError.from(failure),
          );
          expect([Code[error.code], reasonOf(error)]).to.eql([code, reason]);
        }
        const after = await client.listPrivacyExceptions({ setting, pageSize: 2 }, options);
        expect(after.users).to.have.length(1);
      });
    }

    const internal = async () => ({
      client: createClient(PrivacyControlService, createGrpcTransport({ baseUrl: service.internalUrl })),
      options: await service.acting(me.id),
    });
    const atPublicPort = async () => ({
      client: createClient(
        PrivacyControlService,
        createConnectTransport({ baseUrl: service.publicUrl, httpVersion: "1.1" }),
      ),
      options: { headers: { authorization: `Bearer ${await service.userToken(me.id)}` } },
    });
  });
}
