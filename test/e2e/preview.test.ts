import { randomUUID } from "node:crypto";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import {
  AccessService,
  EffectSchema,
  Interaction,
  InteractionSchema,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PreviewCauseSchema } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { AudienceSchema, PrivacySettingSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { privacyControlClients } from "../support/privacy-control-clients.ts";
import { startService, type TestService } from "../support/service.ts";

const paths = ["/users/me/privacy", "/api/v1/users/me/privacy"];
const settings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"];
const interactions = InteractionSchema.values
  .filter(({ number }) => number !== Interaction.UNSPECIFIED)
  .map(({ localName }) => localName.toLowerCase());

/** Every interaction with its effect and cause; settings apply to the last five, all of one audience. */
const preview = (effects: string, cause: string | null, audience: string, settingsToo = true) =>
  effects.split(" ").map((effect, i) => {
    const setting = settings[i - (interactions.length - settings.length)] ?? null;
    const decides = effect !== "allow" && (settingsToo || setting !== null);
    return {
      interaction: interactions[i],
      effect,
      cause: decides || cause === "self" ? cause : null,
      setting,
      audience: setting === null ? null : audience,
    };
  });
const allowed = Array(12).fill("allow").join(" ");
const closed = `${Array(7).fill("allow").join(" ")} ${Array(5).fill("deny").join(" ")}`;
const blocked = "deny deny deny deny limit hide hide deny deny deny deny deny";
const signedOut = "deny deny deny deny allow allow deny allow allow allow allow deny";

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`previews over the network on ${backend}`, () => {
    let service: TestService;
    before(async function () {
      service = await startService(await databaseUrl(this));
    });
    after(() => service?.stop(1_000));

    let [me, ann] = [] as unknown as [string, string];
    beforeEach(async () => {
      [me, ann] = [randomUUID(), randomUUID()];
      const users = [me, ann].map((id) => ({ id, userName: "someone" }));
      await service.graph.upsertUsers({ users }, await service.acting());
    });

    async function setAll(value: string): Promise<void> {
      for (const setting of settings) {
        const body = { setting, value };
        expect((await service.rest("PATCH", "/users/me/privacy", { as: me, body })).status).to.equal(200);
      }
    }
    const block = (by: string, of: string) =>
      service.rest("POST", `/api/v1/e-social/privacy-control/block/${of}`, { as: by });
    const follow = async (followerId: string, followeeId: string) =>
      service.graph.followUser({ followerId, followeeId }, await service.acting());

    describe("by REST", () => {
      const get = async (path: string, as = me) => {
        const { status, text } = await service.rest("GET", path, { as });
        return [status, text];
      };
      const retrieved = (data: unknown) => [
        200,
        JSON.stringify({ status: true, code: 200, message: "Privacy preview retrieved successfully", data }),
      ];

      for (const path of paths) {
        describe(`at ${path}`, () => {
          const of = (user: string) => get(`${path}/preview/${user}`);

          it("show what a user may do and see, by the settings of the owner", async () => {
            expect(await of(ann)).to.eql(retrieved(preview(allowed, null, "all")));
            await setAll("contacts");
            expect(await of(ann.toUpperCase())).to.eql(retrieved(preview(closed, "audience", "contacts")));
            await follow(ann, me);
            expect(await of(ann)).to.eql(retrieved(preview(closed, "audience", "contacts")));
            await follow(me, ann);
            expect(await of(ann)).to.eql(retrieved(preview(allowed, null, "contacts")));
            await setAll("none");
            expect(await of(ann)).to.eql(retrieved(preview(closed, "audience", "none")));
          });

          it("name the exception that decides", async () => {
            await setAll("contact_blacklist");
            expect(await of(ann)).to.eql(retrieved(preview(closed, "audience", "contact_blacklist")));
            await follow(me, ann);
            expect(await of(ann)).to.eql(retrieved(preview(allowed, null, "contact_blacklist")));
            for (const setting of settings) {
              const exceptions = `${path}/${setting}/exceptions`;
              await service.rest("PATCH", exceptions, { as: me, body: { addUserIds: [ann] } });
            }
            expect(await of(ann)).to.eql(retrieved(preview(closed, "exception", "contact_blacklist")));
          });

          it("name the block that decides", async () => {
            await setAll("none");
            await block(me, ann);
            expect(await of(ann)).to.eql(retrieved(preview(blocked, "block", "none")));
          });

          it("show what nobody may do and see who is signed in", async () => {
            const expected = retrieved(preview(signedOut, "signed_out", "all"));
            expect(await get(`${path}/preview`)).to.eql(expected);
            expect(await get(`${path}/preview?signedOut=true`)).to.eql(expected);
            expect(await get(`${path}/preview?signed_out=false`)).to.eql(expected);
            await setAll("contacts");
            const [, text] = await get(`${path}/preview`);
            const { data } = JSON.parse(text as string);
            expect(data.slice(7)).to.eql(preview(closed, "audience", "contacts").slice(7));
          });

          it("allow the owner everything", async () => {
            await setAll("none");
            expect(await of(me)).to.eql(retrieved(preview(allowed, "self", "none")));
          });

          it("do not depend on what the other user does", async () => {
            await setAll("contacts");
            const before = await of(ann);
            await service.rest("POST", `/api/v1/e-social/privacy-control/mute/${me}`, { as: ann });
            await block(ann, me);
            expect(await of(ann)).to.eql(before);
          });

          it("refuse unknown users, what is no id, and two viewers at once", async () => {
            const failed = (code: number, message: string, error: string) =>
              JSON.stringify({ status: false, code, message, error });
            expect(await of(randomUUID())).to.eql([404, failed(404, "Not found", "User not found")]);
            for (const wrong of ["ann", `${ann}?signedOut=true`, `${ann}?user=1`])
              expect((await of(wrong))[0], wrong).to.equal(400);
            expect((await get(`${path}/preview/${ann}`, randomUUID()))[0]).to.equal(401);
            await service.graph.deleteUser({ userId: ann }, await service.acting());
            expect(await of(ann)).to.eql([404, failed(404, "Not found", "User not found")]);
          });
        });
      }

      it("have a tag, under which they are not sent again", async () => {
        const { headers } = await service.rest("GET", `/users/me/privacy/preview/${ann}`, { as: me });
        const ask = async () => {
          const authorization = `Bearer ${await service.userToken(me)}`;
          return fetch(`${service.publicUrl}/users/me/privacy/preview/${ann}`, {
            headers: { authorization, "if-none-match": headers.get("etag") ?? "" },
          });
        };
        expect((await ask()).status).to.equal(304);
        await setAll("none");
        expect((await ask()).status).to.equal(200);
      });
    });

    for (const { name, connect, optionsFor } of privacyControlClients) {
      describe(`by ${name}`, () => {
        async function ask(request: { userId?: string; signedOut?: boolean }, as = me) {
          const client = connect(service);
          const { interactions } = await client.previewAccess(request, await optionsFor(service, as));
          const word = (localName = "?") => (localName === "UNSPECIFIED" ? null : localName.toLowerCase());
          return interactions.map(({ interaction, effect, cause, setting, audience }) => ({
            interaction: word(InteractionSchema.value[interaction]?.localName),
            effect: word(EffectSchema.value[effect]?.localName),
            cause: word(PreviewCauseSchema.value[cause]?.localName),
            setting: word(PrivacySettingSchema.value[setting]?.localName),
            audience: word(AudienceSchema.value[audience]?.localName),
          }));
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

        it("show every viewer", async () => {
          await setAll("contacts");
          expect(await ask({ userId: ann.toUpperCase() })).to.eql(preview(closed, "audience", "contacts"));
          await block(me, ann);
          expect(await ask({ userId: ann })).to.eql(preview(blocked, "block", "contacts"));
          expect(await ask({ userId: me })).to.eql(preview(allowed, "self", "contacts"));
          await setAll("all");
          for (const nobody of [{}, { signedOut: true }, { userId: "" }])
            expect(await ask(nobody)).to.eql(preview(signedOut, "signed_out", "all"));
        });

        it("refuse unknown users, what is no id, and two viewers at once", async () => {
          expect(await failureOf(ask({ userId: randomUUID() }))).to.eql(["NotFound", "USER_NOT_FOUND"]);
          for (const wrong of [{ userId: "ann" }, { userId: ann, signedOut: true }])
            expect(await failureOf(ask(wrong))).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
          expect(await failureOf(ask({}, randomUUID()))).to.eql(
            name === "gRPC with a service's token"
              ? ["NotFound", "USER_NOT_FOUND"]
              : ["Unauthenticated", "TOKEN_INVALID"],
          );
        });
      });
    }

    it("have the effects of the decisions that other services get", async () => {
      const access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
      const options = await service.acting();
      await setAll("contact_blacklist");
      await follow(me, ann);
      const body = { addUserIds: [ann] };
      await service.rest("PATCH", "/users/me/privacy/status/exceptions", { as: me, body });
      const compare = async (viewer: string | null) => {
        const { json } = await service.rest("GET", `/users/me/privacy/preview${viewer ? `/${viewer}` : ""}`, {
          as: me,
        });
        const { results } = await access.batchCheckAccess(
          {
            checks: interactions.map((interaction) => ({
              viewer: viewer
                ? { case: "viewerId" as const, value: viewer }
                : { case: "signedOut" as const, value: true },
              ownerId: me,
              interaction: Interaction[interaction.toUpperCase() as keyof typeof Interaction],
            })),
          },
          options,
        );
        const { data } = json as { data: { effect: string }[] };
        expect(data.map(({ effect }) => effect)).to.eql(
          results.map(({ effect }) => EffectSchema.value[effect]?.localName.toLowerCase()),
        );
      };
      for (const viewer of [ann, me, null]) await compare(viewer);
      await block(me, ann);
      await compare(ann);
    });
  });
}
