import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";

const base = "/api/v1/e-social/privacy-control";
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The users of the documents, each with an id of its own test run. */
function documentedUser(userName: string, firstName: string, lastName: string, isVerified: boolean) {
  return {
    id: randomUUID(),
    userName,
    firstName,
    lastName,
    profilePictureUrls: [`https://cdn.nexgate.com/profiles/${userName}.jpg`],
    isVerified,
  };
}

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`the documented REST API on ${backend}`, () => {
    let service: TestService;
    before(async function () {
      const url = await databaseUrl(this);
      service = await startService(url);
    });
    after(() => service?.stop(1_000));

    const spam = documentedUser("spam_account", "Spam", "Account", false);
    const troll = documentedUser("troll_user", "Troll", "User", false);
    const me = documentedUser("alice", "Alice", "Mushi", true);

    beforeEach(async () => {
      for (const user of [spam, troll, me]) user.id = randomUUID();
      await service.graph.upsertUsers({ users: [spam, troll, me] }, await service.acting());
    });

    const call = (method: string, path: string, body?: unknown) =>
      service.rest(method, path, { as: me.id, ...(body === undefined ? {} : { body }) });

    function expectGlobe(
      answer: Awaited<ReturnType<typeof call>>,
      status: number,
      name: string,
      message: string,
    ) {
      expect(answer.status).to.equal(status);
      expect(answer.headers.get("content-type")).to.match(/^application\/json/);
      expect(Object.keys(answer.json)).to.eql(["success", "httpStatus", "message", "action_time", "data"]);
      expect(answer.json).to.deep.include({ success: status === 200, httpStatus: name, message });
      expect(answer.json.action_time).to.match(instant);
      if (status !== 200) expect(answer.json.data).to.equal(message);
      return answer.json.data;
    }

    for (const [verb, undo, list, past, noun] of [
      ["block", "unblock", "blocked", "Blocked", "block"],
      ["mute", "unmute", "muted", "Muted", "mute"],
    ] as const) {
      const past_ = past.toLowerCase();

      describe(verb, () => {
        it(`answers the documented ${noun} record`, async () => {
          const data = expectGlobe(
            await call("POST", `${base}/${verb}/${spam.id}`),
            200,
            "OK",
            `User ${past_} successfully`,
          );
          expect(Object.keys(data)).to.eql(["id", "user", "createdAt"]);
          expect(data.id).to.match(uuid);
          expect(data.createdAt).to.match(instant);
          expect(JSON.stringify(data.user)).to.equal(JSON.stringify(spam));
        });

        it("refuses oneself, before users are looked up", async () => {
          expectGlobe(
            await call("POST", `${base}/${verb}/${me.id}`),
            400,
            "BAD_REQUEST",
            `Cannot ${verb} yourself`,
          );
          expectGlobe(
            await call("POST", `${base}/${verb}/${me.id.toUpperCase()}`),
            400,
            "BAD_REQUEST",
            `Cannot ${verb} yourself`,
          );
        });

        it("refuses the second time", async () => {
          await call("POST", `${base}/${verb}/${spam.id}`);
          expectGlobe(
            await call("POST", `${base}/${verb}/${spam.id.toUpperCase()}`),
            400,
            "BAD_REQUEST",
            `User already ${past_}`,
          );
        });

        it("does not find an unknown user", async () => {
          expectGlobe(
            await call("POST", `${base}/${verb}/${randomUUID()}`),
            404,
            "NOT_FOUND",
            "User not found",
          );
          expectGlobe(
            await call("DELETE", `${base}/${undo}/${randomUUID()}`),
            404,
            "NOT_FOUND",
            "User not found",
          );
        });

        it("requires a UUID", async () => {
          for (const id of ["1", "null", `${spam.id}0`, spam.id.replaceAll("-", ""), `{${spam.id}}`]) {
            expectGlobe(
              await call("POST", `${base}/${verb}/${id}`),
              400,
              "BAD_REQUEST",
              "userId must be a valid UUID",
            );
          }
        });

        it("accepts an empty object as the body, and nothing else", async () => {
          expectGlobe(
            await call("POST", `${base}/${verb}/${spam.id}`, {}),
            200,
            "OK",
            `User ${past_} successfully`,
          );
          const answer = await call("POST", `${base}/${verb}/${troll.id}`, { userId: me.id });
          expect(answer.status).to.equal(400);
        });

        it(`can be undone by ${undo}, with null for data, once and again`, async () => {
          await call("POST", `${base}/${verb}/${spam.id}`);
          for (let i = 0; i < 2; i++) {
            const data = expectGlobe(
              await call("DELETE", `${base}/${undo}/${spam.id}`),
              200,
              "OK",
              `User un${past_} successfully`,
            );
            expect(data).to.equal(null);
          }
          expectGlobe(
            await call("POST", `${base}/${verb}/${spam.id}`),
            200,
            "OK",
            `User ${past_} successfully`,
          );
        });

        it(`is listed at /${list}, newest first`, async () => {
          expect(
            expectGlobe(
              await call("GET", `${base}/${list}`),
              200,
              "OK",
              `${past} users retrieved successfully`,
            ),
          ).to.eql([]);
          const first = (await call("POST", `${base}/${verb}/${troll.id}`)).json.data;
          const second = (await call("POST", `${base}/${verb}/${spam.id}`)).json.data;
          const data = expectGlobe(
            await call("GET", `${base}/${list}`),
            200,
            "OK",
            `${past} users retrieved successfully`,
          );
          expect(JSON.stringify(data)).to.equal(JSON.stringify([second, first]));
        });

        it("is paged on request, with a link to the next page", async () => {
          await call("POST", `${base}/${verb}/${troll.id}`);
          await call("POST", `${base}/${verb}/${spam.id}`);
          const page = await call("GET", `${base}/${list}?page_size=1`);
          expect(page.json.data.map((record: { user: { id: string } }) => record.user.id)).to.eql([spam.id]);
          const next = page.headers.get("link")?.match(/^<([^>]+)>; rel="next"$/)?.[1];
          const last = await call("GET", next ?? "");
          expect(last.json.data.map((record: { user: { id: string } }) => record.user.id)).to.eql([troll.id]);
          expect(last.headers.get("link")).to.equal(null);
          const token = new URLSearchParams(next?.split("?")[1]).get("page_token");
          const foreign = await service.rest("GET", `${base}/${list}?page_token=${token}`, { as: spam.id });
          expectGlobe(foreign, 400, "BAD_REQUEST", "Invalid page token");
          expectGlobe(
            await call("GET", `${base}/${list}?page_token=x`),
            400,
            "BAD_REQUEST",
            "Invalid page token",
          );
          expect((await call("GET", `${base}/${list}?page_size=-1`)).status).to.equal(400);
        });

        it("shows no pictures of a user whose profile-picture audience is none", async () => {
          await service.rest("PATCH", "/users/me/privacy", {
            as: spam.id,
            body: { setting: "profile_picture", value: "none" },
          });
          const record = (await call("POST", `${base}/${verb}/${spam.id}`)).json.data;
          expect(record.user).to.eql({ ...spam, profilePictureUrls: [] });
          expect((await call("GET", `${base}/${list}`)).json.data[0].user).to.eql({
            ...spam,
            profilePictureUrls: [],
          });
        });
      });
    }

    it("40 simultaneous blocks of one user: one 200, 39 times 400", async () => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => call("POST", `${base}/block/${spam.id}`)),
      );
      const count = (status: number, message: string) =>
        answers.filter((answer) => answer.status === status && answer.json.message === message).length;
      expect(count(200, "User blocked successfully")).to.equal(1);
      expect(count(400, "User already blocked")).to.equal(39);
    });

    it("a block removes both follows, keeps mutes, and unblocking restores nothing", async () => {
      const options = await service.acting();
      const between = () => service.graph.getRelationship({ userId: me.id, otherUserId: spam.id }, options);
      await service.graph.followUser({ followerId: me.id, followeeId: spam.id }, options);
      await service.graph.followUser({ followerId: spam.id, followeeId: me.id }, options);
      await call("POST", `${base}/mute/${spam.id}`);
      expect(await between()).to.deep.include({
        following: true,
        followedBy: true,
        muting: true,
        blocking: false,
      });
      await call("POST", `${base}/block/${spam.id}`);
      expect(await between()).to.deep.include({
        following: false,
        followedBy: false,
        muting: true,
        blocking: true,
      });
      await call("DELETE", `${base}/unblock/${spam.id}`);
      expect(await between()).to.deep.include({
        following: false,
        followedBy: false,
        muting: true,
        blocking: false,
      });
    });

    describe("authentication", () => {
      const globeRoutes = [
        ["POST", `${base}/block/${randomUUID()}`],
        ["DELETE", `${base}/unblock/${randomUUID()}`],
        ["POST", `${base}/mute/${randomUUID()}`],
        ["DELETE", `${base}/unmute/${randomUUID()}`],
        ["GET", `${base}/blocked`],
        ["GET", `${base}/muted`],
      ] as const;
      const statusRoutes = [
        ["GET", "/users/me/privacy"],
        ["PATCH", "/users/me/privacy"],
        ["GET", "/api/v1/users/me/privacy"],
        ["PATCH", "/api/v1/users/me/privacy"],
      ] as const;

      async function tokens(): Promise<[string | undefined, string, string][]> {
        return [
          [undefined, "Authentication token is required", "Invalid or missing authentication"],
          ["Bearer", "Authentication token is required", "Invalid or missing authentication"],
          ["Bearer nonsense", "Malformed token", "Invalid or expired JWT token"],
          ["Basic dXNlcjpwYXNz", "Malformed token", "Invalid or expired JWT token"],
          [
            `Bearer ${await service.userToken(me.id, -1)}`,
            "Token has expired",
            "Invalid or expired JWT token",
          ],
          [`Bearer ${await service.userToken("alice")}`, "Invalid token", "Invalid or expired JWT token"],
          [`Bearer ${await service.serviceToken()}`, "Invalid token", "Invalid or expired JWT token"],
          [
            `Bearer ${await service.userToken(randomUUID())}`,
            "Invalid token",
            "Invalid or expired JWT token",
          ],
          [
            `Bearer ${(await service.userToken(me.id)).replace(/[^.]*$/, "A".repeat(43))}`,
            "Invalid token",
            "Invalid or expired JWT token",
          ],
        ];
      }

      for (const [method, path] of globeRoutes) {
        it(`${method} ${path.replace(/[0-9a-f-]{36}/, "{userId}")} says what is wrong with the token`, async () => {
          for (const [token, message] of await tokens()) {
            const answer = await service.rest(method, path, { token });
            expectGlobe(answer, 401, "UNAUTHORIZED", message);
            expect(answer.headers.get("www-authenticate")).to.match(/^Bearer/);
          }
        });
      }

      for (const [method, path] of statusRoutes) {
        it(`${method} ${path} says what is wrong with the token`, async () => {
          for (const [token, , error] of await tokens()) {
            const body = method === "PATCH" ? { body: { setting: "status", value: "all" } } : {};
            const answer = await service.rest(method, path, { token, ...body });
            expect(answer.status).to.equal(401);
            expect(answer.text).to.equal(
              JSON.stringify({ status: false, code: 401, message: "Unauthorized", error }),
            );
          }
        });
      }

      it("accepts the bare token on every route", async () => {
        const token = await service.userToken(me.id);
        for (const path of [`${base}/blocked`, `${base}/muted`, "/users/me/privacy"]) {
          expect((await service.rest("GET", path, { token })).status).to.equal(200);
        }
      });
    });

    describe("settings", () => {
      const paths = ["/users/me/privacy", "/api/v1/users/me/privacy"];
      const settings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"];
      const values = ["all", "contacts", "contact_blacklist", "none"];
      const updated = JSON.stringify({
        status: true,
        code: 200,
        message: "Privacy settings updated successfully",
      });

      it("are all `all` at first", async () => {
        for (const path of paths) {
          expect((await call("GET", path)).text).to.equal(
            JSON.stringify({
              status: true,
              code: 200,
              message: "Privacy settings retrieved successfully",
              data: {
                last_seen: "all",
                profile_picture: "all",
                status: "all",
                read_receipts: "all",
                groups: "all",
              },
            }),
          );
        }
      });

      it("take every value", async () => {
        for (const setting of settings) {
          for (const [index, value] of values.entries()) {
            const answer = await call("PATCH", paths[index % 2] ?? "", { setting, value });
            expect([answer.status, answer.text]).to.eql([200, updated]);
            expect((await call("GET", "/users/me/privacy")).json.data[setting]).to.equal(value);
          }
        }
      });

      it("are answered 304 while the client has the current version", async () => {
        const headers = { authorization: `Bearer ${await service.userToken(me.id)}` };
        const get = (tag?: string) =>
          fetch(service.publicUrl + paths[0], {
            headers: { ...headers, ...(tag !== undefined && { "if-none-match": tag }) },
          });
        const tag = (await get()).headers.get("etag") ?? "";
        const unchanged = await get(tag);
        expect([unchanged.status, await unchanged.text()]).to.eql([304, ""]);
        expect(unchanged.headers.get("etag")).to.equal(tag);
        expect(unchanged.headers.get("cache-control")).to.equal("no-store");
        await call("PATCH", "/users/me/privacy", { setting: "groups", value: "none" });
        const changed = await get(tag);
        expect(changed.status).to.equal(200);
        expect(changed.headers.get("etag")).to.not.equal(tag);
      });

      const invalid: [string, unknown][] = [
        ["an unknown setting", { setting: "location", value: "all" }],
        ["an unknown value", { setting: "status", value: "friends" }],
        ["another case", { setting: "Last_Seen", value: "all" }],
        ["another case of the value", { setting: "last_seen", value: "ALL" }],
        ["an enum's name", { setting: "PRIVACY_SETTING_STATUS", value: "AUDIENCE_ALL" }],
        ["an enum's number", { setting: 1, value: 1 }],
        ["the unspecified value", { setting: "unspecified", value: "unspecified" }],
        ["nulls", { setting: null, value: null }],
        ["lists", { setting: ["status"], value: ["all"] }],
        ["a missing setting", { value: "all" }],
        ["a missing value", { setting: "status" }],
        ["an empty object", {}],
        ["no body", undefined],
      ];
      for (const [what, body] of invalid) {
        it(`refuse ${what}`, async () => {
          const answer = await call("PATCH", "/users/me/privacy", body);
          expect(answer.status).to.equal(400);
          expect(answer.text).to.equal(
            JSON.stringify({
              status: false,
              code: 400,
              message: "Bad request",
              error: "Invalid setting or value",
            }),
          );
        });
      }

      for (const body of ["{", "null", "[]", '"status"', '{"setting":"status",}', "7", "\u{1}"]) {
        it(`refuse the body ${JSON.stringify(body)}`, async () => {
          const answer = await call("PATCH", "/users/me/privacy", body);
          expect(answer.text).to.equal(
            JSON.stringify({ status: false, code: 400, message: "Bad request", error: "Bad request" }),
          );
        });
      }

      it("trap 11: refuse unknown fields and __proto__", async () => {
        for (const extra of ['"x":1', '"__proto__":{"value":"none"}', '"constructor":{}', '"toString":""']) {
          const answer = await call(
            "PATCH",
            "/users/me/privacy",
            `{"setting":"status","value":"none",${extra}}`,
          );
          expect([answer.status, answer.json.message]).to.eql([400, "Bad request"]);
        }
        expect((await call("GET", "/users/me/privacy")).json.data.status).to.equal("all");
      });
    });

    describe("requests that match no method", () => {
      it("unknown paths are 404", async () => {
        for (const path of [
          "/api",
          `${base}/block`,
          `${base}/blocked/`,
          `${base}/Blocked`,
          "/users/me",
          "/nexgate.privacy.v1.GraphService/GetUser",
        ]) {
          expectGlobe(await call("GET", path), 404, "NOT_FOUND", "Not found");
        }
      });

      it("other methods are 405 with the allowed ones in `Allow`", async () => {
        const answer = await call("GET", `${base}/block/${spam.id}`);
        expectGlobe(answer, 405, "METHOD_NOT_ALLOWED", "Method not allowed");
        expect(answer.headers.get("allow")).to.equal("POST, PATCH, OPTIONS");
        const settings = await call("DELETE", "/users/me/privacy");
        expect(settings.json).to.deep.include({ status: false, code: 405, message: "Method not allowed" });
        expect(settings.headers.get("allow")?.split(", ").sort()).to.eql(["GET", "HEAD", "OPTIONS", "PATCH"]);
      });

      it("a body that is not JSON is 415, one that is too large 413", async () => {
        const text = await service.rest("PATCH", "/users/me/privacy", {
          as: me.id,
          body: "setting=status",
          headers: { "content-type": "application/x-www-form-urlencoded" },
        });
        expect([text.status, text.json.code]).to.eql([415, 415]);
        const large = await call("PATCH", "/users/me/privacy", {
          setting: "status",
          value: "x".repeat(70_000),
        });
        expect([large.status, large.json.code]).to.eql([413, 413]);
      });

      it("trap 10: paths are decoded once, and a malformed id is 400", async () => {
        const spelled = [...spam.id].map((c) => `%${c.charCodeAt(0).toString(16)}`).join("");
        expectGlobe(await call("POST", `${base}/block/${spelled}`), 200, "OK", "User blocked successfully");
        for (const id of [
          "%2F",
          "%00",
          "%ff",
          "%",
          "%zz",
          "%252e%252e",
          "..%2f..%2fadmin",
          "a".repeat(5_000),
          `${spam.id}%20`,
        ]) {
          expect((await call("POST", `${base}/block/${id}`)).status, id).to.equal(400);
        }
      });
    });
  });
}
