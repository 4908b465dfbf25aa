import { randomUUID } from "node:crypto";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  AccessService,
  Cause,
  CauseSchema,
  Effect,
  EffectSchema,
  Interaction,
  InteractionSchema,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";

const everything = [
  Interaction.FOLLOW,
  Interaction.SEND_MESSAGE,
  Interaction.MENTION,
  Interaction.COMMENT,
  Interaction.VIEW_PROFILE,
  Interaction.VIEW_CONTENT,
  Interaction.RECEIVE_NOTIFICATION,
  Interaction.VIEW_LAST_SEEN,
  Interaction.VIEW_PROFILE_PICTURE,
  Interaction.VIEW_STATUS,
  Interaction.VIEW_READ_RECEIPTS,
  Interaction.ADD_TO_GROUP,
];
const settings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"];

const nothing = "ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW";
const ofBlock = "DENY  DENY  DENY  DENY  LIMIT HIDE  HIDE  DENY  DENY  DENY  DENY  DENY";
const ofMute = " ALLOW ALLOW ALLOW ALLOW ALLOW HIDE  HIDE  ALLOW ALLOW ALLOW ALLOW ALLOW";
const outside = "ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW ALLOW DENY  DENY  DENY  DENY  DENY";
const nobody = " DENY  DENY  DENY  DENY  ALLOW ALLOW DENY  ALLOW ALLOW ALLOW ALLOW DENY";

/** What stands between a viewer `v` and an owner `o`, the effects in the order above, and the cause of each but ALLOW. */
const states: [steps: string, effects: string, cause: keyof typeof Cause][] = [
  ["", nothing, "UNSPECIFIED"],
  ["v block o", ofBlock, "BLOCKING"],
  ["o block v", ofBlock, "BLOCKED_BY"],
  ["o block v, v block o", ofBlock, "BLOCKING"],
  ["v block o, v unblock o", nothing, "UNSPECIFIED"],
  ["v mute o", ofMute, "MUTING"],
  ["o mute v", nothing, "UNSPECIFIED"],
  ["v mute o, v block o", ofBlock, "BLOCKING"],
  ["v mute o, o block v", ofBlock, "BLOCKED_BY"],
  ["v mute o, o block v, o unblock v", ofMute, "MUTING"],
  ["v follow o, o follow v", nothing, "UNSPECIFIED"],
  ["o none", outside, "AUDIENCE"],
  ["o none, o follow v", outside, "AUDIENCE"],
  ["o none, o all", nothing, "UNSPECIFIED"],
  ["v none", nothing, "UNSPECIFIED"],
  ["o contacts", outside, "AUDIENCE"],
  ["o contacts, v follow o", outside, "AUDIENCE"],
  ["o contacts, o follow v", nothing, "UNSPECIFIED"],
  ["o contacts, o follow v, o except v", nothing, "UNSPECIFIED"],
  ["o contacts, o follow v, v block o, v unblock o", outside, "AUDIENCE"],
  ["o contact_blacklist", outside, "AUDIENCE"],
  ["o contact_blacklist, v follow o", outside, "AUDIENCE"],
  ["o contact_blacklist, o follow v", nothing, "UNSPECIFIED"],
  ["o contact_blacklist, o follow v, v except o", nothing, "UNSPECIFIED"],
  ["o contact_blacklist, o follow v, o except v", outside, "AUDIENCE"],
  ["o except v", nothing, "UNSPECIFIED"],
  ["o none, o block v", ofBlock, "BLOCKED_BY"],
];

const nameOf = (cause: Cause) => CauseSchema.value[cause]?.localName;

describe("the interactions of these tests", () => {
  it("are all that the definition has", () => {
    const defined = InteractionSchema.values.map(({ number }) => number).filter((number) => number !== 0);
    expect(everything).to.have.members(defined);
  });
});

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`decisions over gRPC on ${backend}`, () => {
    let service: TestService;
    let access: Client<typeof AccessService>;
    let options: CallOptions;
    let [v, o, p]: string[] = [];
    const ids = () => ({ v: v as string, o: o as string });

    before(async function () {
      const url = await databaseUrl(this);
      service = await startService(url);
      access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
      options = await service.acting();
    });
    after(() => service?.stop(1_000));

    beforeEach(async () => {
      [v, o, p] = Array.from({ length: 3 }, () => randomUUID());
      const users = [v, o, p].map((id) => ({ id: id as string, userName: "someone" }));
      await service.graph.upsertUsers({ users }, options);
    });

    async function take(step: string): Promise<void> {
      const [subject = "", verb = "", object = ""] = step.split(" ");
      const people: Record<string, string> = ids();
      const [as = "", other = ""] = [people[subject], people[object]];
      const rest = async (method: string, path: string, body?: unknown) => {
        const answer = await service.rest(method, path, { as, ...(body === undefined ? {} : { body }) });
        expect(answer.status, answer.text).to.equal(200);
      };
      const base = "/api/v1/e-social/privacy-control";
      if (verb === "follow") {
        await service.graph.followUser({ followerId: as, followeeId: other }, options);
      } else if (verb === "except") {
        for (const setting of settings)
          await rest("PATCH", `/users/me/privacy/${setting}/exceptions`, { addUserIds: [other] });
      } else if (object === "") {
        for (const setting of settings) await rest("PATCH", "/users/me/privacy", { setting, value: verb });
      } else await rest(verb.startsWith("un") ? "DELETE" : "POST", `${base}/${verb}/${other}`);
    }

    async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
      try {
        await call;
      } catch (failure) {
        return ConnectError.from(failure);
      }
      throw new Error("the call succeeded");
    }

    /** Expects `INVALID_ARGUMENT` that names one field. */
    async function expectInvalid(call: Promise<unknown>, field: string): Promise<void> {
      const error = await failureOf(call);
      expect([Code[error.code], reasonOf(error)]).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
      const violations = error.findDetails(BadRequestSchema)[0]?.fieldViolations;
      expect(violations?.map((violation) => violation.field)).to.eql([field]);
    }

    async function expectNotFound(call: Promise<unknown>): Promise<void> {
      const error = await failureOf(call);
      expect([Code[error.code], reasonOf(error), error.rawMessage]).to.eql([
        "NotFound",
        "USER_NOT_FOUND",
        "User not found",
      ]);
    }

    const viewerId = (value: string) => ({ case: "viewerId" as const, value });
    const signedOut = (value = true) => ({ case: "signedOut" as const, value });
    type Viewer = ReturnType<typeof viewerId> | ReturnType<typeof signedOut>;

    /** Every method's answer to all interactions of a pair. */
    async function expectDecisions(viewer: Viewer, ownerId: string, expected: string[]): Promise<void> {
      const named = ({ effect, cause }: { effect: Effect; cause: Cause }) =>
        `${EffectSchema.value[effect]?.localName} ${nameOf(cause)}`;
      const checks = everything.map((interaction) => ({ viewer, ownerId, interaction }));
      const { results } = await access.batchCheckAccess({ checks }, options);
      expect(results.map(named), "BatchCheckAccess").to.eql(expected);
      const singles = await Promise.all(checks.map((check) => access.checkAccess(check, options)));
      expect(singles.map(named), "CheckAccess").to.eql(expected);
      const allowed = await Promise.all(
        everything.map((interaction) =>
          access.filterUsers({ viewer, ownerIds: [ownerId], interaction }, options),
        ),
      );
      const left = expected.map((decision) => (decision.startsWith("ALLOW") ? [ownerId] : []));
      expect(
        allowed.map(({ ownerIds }) => ownerIds),
        "FilterUsers",
      ).to.eql(left);
      if (viewer.case === "signedOut") return;
      const viewerIds = [viewer.value];
      const reached = await Promise.all(
        everything.map((interaction) => access.filterViewers({ ownerId, viewerIds, interaction }, options)),
      );
      expect(
        reached.map((answer) => answer.viewerIds),
        "FilterViewers",
      ).to.eql(left.map((owners) => owners.map(() => viewer.value.toLowerCase())));
    }

    const withCause = (effects: string, cause: string) =>
      effects
        .trim()
        .split(/\s+/)
        .map((effect) => `${effect} ${effect === "ALLOW" ? "UNSPECIFIED" : cause}`);

    for (const [steps, effects, cause] of states) {
      it(`after "${steps}"`, async () => {
        for (const step of steps.split(", ").filter(Boolean)) await take(step);
        const { v, o } = ids();
        await expectDecisions(viewerId(v), o, withCause(effects, cause));
        await expectDecisions(viewerId(v.toUpperCase()), o, withCause(effects, cause));
      });
    }

    it("of a viewer and an owner are not those of the owner and the viewer", async () => {
      await take("v mute o");
      await take("v none");
      const { v, o } = ids();
      await expectDecisions(viewerId(v), o, withCause(ofMute, "MUTING"));
      await expectDecisions(viewerId(o), v, withCause(outside, "AUDIENCE"));
    });

    it("name the stronger effect's cause when several apply", async () => {
      await take("v mute o");
      await take("o none");
      const expected = withCause(outside, "AUDIENCE");
      expected.splice(5, 2, "HIDE MUTING", "HIDE MUTING");
      await expectDecisions(viewerId(ids().v), ids().o, expected);
    });

    it("of oneself are ALLOW", async () => {
      for (const step of ["v none", "v follow o"]) await take(step);
      const { v } = ids();
      await expectDecisions(viewerId(v), v, Array(12).fill("ALLOW SELF"));
      const upper = { viewer: viewerId(v.toUpperCase()), ownerId: v, interaction: Interaction.VIEW_STATUS };
      expect((await access.checkAccess(upper, options)).cause).to.equal(Cause.SELF);
    });

    it("of a viewer who is signed out", async () => {
      const { o } = ids();
      await expectDecisions(signedOut(), o, withCause(nobody, "SIGNED_OUT"));
      for (const audience of ["contacts", "contact_blacklist", "none"]) {
        await take(`o ${audience}`);
        const expected = withCause(nobody, "SIGNED_OUT").fill("DENY AUDIENCE", 7);
        await expectDecisions(signedOut(), o, expected);
      }
    });

    it("concern one setting each", async () => {
      const { v, o } = ids();
      const asking = everything.slice(-settings.length);
      for (const [i, setting] of settings.entries()) {
        const body = (value: string) => ({ as: o, body: { setting, value } });
        await service.rest("PATCH", "/users/me/privacy", body("none"));
        const expected = withCause(nothing, "").fill("DENY AUDIENCE", everything.length - asking.length + i);
        expected.fill("ALLOW UNSPECIFIED", everything.length - asking.length + i + 1);
        await expectDecisions(viewerId(v), o, expected);
        await service.rest("PATCH", "/users/me/privacy", body("all"));
      }
    });

    describe("the viewer", () => {
      const rest = () => ({ ownerId: ids().o, interaction: Interaction.FOLLOW });
      const filter = () => ({ ownerIds: [ids().o], interaction: Interaction.FOLLOW });
      const wrong: [string, { viewer?: Viewer }, string][] = [
        ["is not set", {}, "viewer"],
        ["is an empty id", { viewer: viewerId("") }, "viewer_id"],
        ["is no UUID", { viewer: viewerId("ann") }, "viewer_id"],
        ["is not signed out", { viewer: signedOut(false) }, "signed_out"],
      ];

      for (const [what, viewer, field] of wrong) {
        it(`${what}: INVALID_ARGUMENT with the name of the field`, async () => {
          await expectInvalid(access.checkAccess({ ...viewer, ...rest() }, options), field);
          await expectInvalid(access.filterUsers({ ...viewer, ...filter() }, options), field);
          const good = { viewer: signedOut(), ...rest() };
          const checks = [good, good, good, { ...viewer, ...rest() }, good];
          await expectInvalid(access.batchCheckAccess({ checks }, options), `checks[3].${field}`);
        });
      }
    });

    it("want an owner and an interaction", async () => {
      const { o } = ids();
      const viewer = viewerId(ids().v);
      const interaction = Interaction.FOLLOW;
      for (const ownerId of ["", "ann", `${o}0`]) {
        await expectInvalid(access.checkAccess({ viewer, ownerId, interaction }, options), "owner_id");
        const ownerIds = [o, ownerId];
        await expectInvalid(access.filterUsers({ viewer, ownerIds, interaction }, options), "owner_ids[1]");
      }
      for (const ownerId of ["", "ann", `${o}0`]) {
        const viewerIds = [o, ownerId];
        await expectInvalid(
          access.filterViewers({ ownerId, viewerIds: [], interaction }, options),
          "owner_id",
        );
        await expectInvalid(
          access.filterViewers({ ownerId: o, viewerIds, interaction }, options),
          "viewer_ids[1]",
        );
      }
      for (const bad of [Interaction.UNSPECIFIED, 13 as Interaction]) {
        await expectInvalid(access.filterViewers({ ownerId: o, interaction: bad }, options), "interaction");
        const check = { viewer, ownerId: o, interaction: bad };
        await expectInvalid(access.checkAccess(check, options), "interaction");
        await expectInvalid(access.batchCheckAccess({ checks: [check] }, options), "checks[0].interaction");
        await expectInvalid(
          access.filterUsers({ viewer, ownerIds: [], interaction: bad }, options),
          "interaction",
        );
      }
    });

    it("of unknown users: NOT_FOUND, DENY in a batch, left out by a filter", async () => {
      const { v, o } = ids();
      const gone = randomUUID();
      const pairs: [Viewer, string][] = [
        [viewerId(v), gone],
        [viewerId(gone), o],
        [viewerId(gone), gone],
        [viewerId(gone), randomUUID()],
        [signedOut(), gone],
      ];
      for (const interaction of everything) {
        const checks = pairs.map(([viewer, ownerId]) => ({ viewer, ownerId, interaction }));
        for (const check of checks) await expectNotFound(access.checkAccess(check, options));
        const { results } = await access.batchCheckAccess({ checks }, options);
        for (const result of results)
          expect(result).to.deep.include({ effect: Effect.DENY, cause: Cause.UNKNOWN_USER });
      }
      const filter = async (viewer: Viewer, ownerIds: string[]) =>
        (await access.filterUsers({ viewer, ownerIds, interaction: Interaction.VIEW_PROFILE }, options))
          .ownerIds;
      expect(await filter(viewerId(v), [gone, o, gone])).to.eql([o]);
      expect(await filter(signedOut(), [o, gone])).to.eql([o]);
      expect(await filter(viewerId(gone), [o, v, gone])).to.eql([]);
      const viewersOf = async (ownerId: string, viewerIds: string[]) =>
        (await access.filterViewers({ ownerId, viewerIds, interaction: Interaction.VIEW_PROFILE }, options))
          .viewerIds;
      expect(await viewersOf(o, [gone, v, gone, o])).to.eql([v, o]);
      expect(await viewersOf(gone, [v, o, gone])).to.eql([]);
    });

    it("of an erased user are those of an unknown one", async () => {
      const { v, o } = ids();
      await service.graph.deleteUser({ userId: o }, options);
      const check = { viewer: viewerId(v), ownerId: o, interaction: Interaction.VIEW_PROFILE };
      await expectNotFound(access.checkAccess(check, options));
    });

    it("keep the order of a batch, with duplicates, both orientations and upper case", async () => {
      await take("v mute o");
      const { v, o } = ids();
      const ask = (viewer: Viewer, ownerId: string) => ({
        viewer,
        ownerId,
        interaction: Interaction.VIEW_CONTENT,
      });
      const unit = [
        [ask(viewerId(v), o), Cause.MUTING],
        [ask(viewerId(o), v), Cause.UNSPECIFIED],
        [ask(viewerId(v.toUpperCase()), o.toUpperCase()), Cause.MUTING],
        [ask(viewerId(o), randomUUID()), Cause.UNKNOWN_USER],
        [ask(viewerId(v), v.toUpperCase()), Cause.SELF],
        [ask(signedOut(), o), Cause.UNSPECIFIED],
        [ask(viewerId(v), o), Cause.MUTING],
      ] as const;
      const all = Array.from({ length: 142 }, () => unit).flat();
      const { results } = await access.batchCheckAccess({ checks: all.map(([check]) => check) }, options);
      expect(results.map(({ cause }) => nameOf(cause))).to.eql(all.map(([, cause]) => nameOf(cause)));
    });

    it("filter in order, as often as given, in lower case", async () => {
      await take("o block v");
      const { v, o } = ids();
      const other = p as string;
      const ownerIds = [other, o, v, other.toUpperCase(), o.toUpperCase(), other];
      const request = { viewer: viewerId(v), ownerIds, interaction: Interaction.VIEW_CONTENT };
      expect((await access.filterUsers(request, options)).ownerIds).to.eql([other, v, other, other]);
    });

    it("filter viewers in order, as often as given, in lower case", async () => {
      await take("v block o");
      const { v, o } = ids();
      const other = p as string;
      const viewerIds = [other, v, o, other.toUpperCase(), v.toUpperCase(), other];
      for (const ownerId of [o, o.toUpperCase()]) {
        const request = { ownerId, viewerIds, interaction: Interaction.RECEIVE_NOTIFICATION };
        expect((await access.filterViewers(request, options)).viewerIds).to.eql([other, o, other, other]);
      }
    });

    it("filter viewers by the owner's audience, and by what each viewer mutes", async () => {
      await take("v mute o");
      await take("o contacts");
      await take("o follow v");
      const { v, o } = ids();
      const viewerIds = [v, p as string];
      const reached = async (ownerId: string, interaction: Interaction) =>
        (await access.filterViewers({ ownerId, viewerIds, interaction }, options)).viewerIds;
      expect(await reached(o, Interaction.RECEIVE_NOTIFICATION)).to.eql([p]);
      expect(await reached(o, Interaction.VIEW_STATUS)).to.eql([v]);
      expect(await reached(v, Interaction.VIEW_STATUS)).to.eql([v, p]);
    });

    it("accept empty lists, and at most 1,000 items", async () => {
      const { v, o } = ids();
      const viewer = viewerId(v);
      const interaction = Interaction.VIEW_CONTENT;
      expect((await access.batchCheckAccess({}, options)).results).to.eql([]);
      expect((await access.filterUsers({ viewer, interaction }, options)).ownerIds).to.eql([]);
      const ownerIds = Array<string>(1_000).fill(o);
      expect((await access.filterUsers({ viewer, ownerIds, interaction }, options)).ownerIds).to.eql(
        ownerIds,
      );
      const checks = Array.from({ length: 1_000 }, () => ({ viewer, ownerId: o, interaction }));
      expect((await access.batchCheckAccess({ checks }, options)).results).to.have.length(1_000);
      const more = access.batchCheckAccess(
        { checks: [...checks, { viewer, ownerId: o, interaction }] },
        options,
      );
      await expectInvalid(more, "checks");
      await expectInvalid(
        access.filterUsers({ viewer, ownerIds: [...ownerIds, o], interaction }, options),
        "owner_ids",
      );
      const viewers = { ownerId: o, interaction };
      expect((await access.filterViewers(viewers, options)).viewerIds).to.eql([]);
      const viewerIds = Array<string>(1_000).fill(v);
      expect((await access.filterViewers({ ...viewers, viewerIds }, options)).viewerIds).to.eql(viewerIds);
      await expectInvalid(
        access.filterViewers({ ...viewers, viewerIds: [...viewerIds, v] }, options),
        "viewer_ids",
      );
    });

    it("need the scope access.read, and a service's token", async () => {
      const call = (authorization: string) => [
        () => access.checkAccess({}, { headers: { authorization } }),
        () => access.batchCheckAccess({}, { headers: { authorization } }),
        () => access.filterUsers({}, { headers: { authorization } }),
        () => access.filterViewers({}, { headers: { authorization } }),
      ];
      const others = `Bearer ${await service.serviceToken("graph.read graph.write users.act")}`;
      for (const make of call(others)) expect(reasonOf(await failureOf(make()))).to.equal("SCOPE_MISSING");
      for (const make of call(`Bearer ${await service.userToken(ids().v)}`))
        expect(reasonOf(await failureOf(make()))).to.equal("TOKEN_INVALID");
      const scoped = `Bearer ${await service.serviceToken("access.read")}`;
      const { results } = await access.batchCheckAccess({}, { headers: { authorization: scoped } });
      expect(results).to.eql([]);
    });

    it("are not to be had on the public port", async () => {
      for (const token of [await service.serviceToken(), await service.userToken(ids().v)]) {
        const headers = { authorization: `Bearer ${token}` };
        for (const create of [createGrpcTransport, createConnectTransport]) {
          const transport = create({ baseUrl: service.publicUrl, httpVersion: "2" });
          const error = await failureOf(createClient(AccessService, transport).checkAccess({}, { headers }));
          expect(Code[error.code]).to.equal("Unimplemented");
        }
      }
    });
  });
}
