import { randomUUID } from "node:crypto";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import {
  AccessService,
  Cause,
  Effect,
  type ExplainedSetting,
  Interaction,
  InteractionSchema,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting, PrivacySettingSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { startService, type TestService } from "../support/service.ts";

const valuesOf = (schema: typeof InteractionSchema | typeof PrivacySettingSchema) =>
  schema.values.map(({ number }) => number).filter((number) => number !== 0);
const viewerId = (value: string) => ({ case: "viewerId", value }) as const;
const signedOut = { case: "signedOut", value: true } as const;

describe("an explanation", () => {
  let service: TestService;
  let access: Client<typeof AccessService>;
  let control: Client<typeof PrivacyControlService>;
  let options: CallOptions;
  let ann: string;
  let bob: string;
  before(async () => {
    service = await startService();
    const transport = createGrpcTransport({ baseUrl: service.internalUrl });
    access = createClient(AccessService, transport);
    control = createClient(PrivacyControlService, transport);
    options = await service.acting();
  });
  after(() => service?.stop(1_000));
  beforeEach(async () => {
    [ann, bob] = [randomUUID(), randomUUID()];
    const users = [ann, bob].map((id) => ({ id, userName: "someone" }));
    await service.graph.upsertUsers({ users }, options);
  });

  const explain = (viewer: Parameters<typeof access.explainAccess>[0]["viewer"], ownerId: string) =>
    access.explainAccess({ ...(viewer && { viewer }), ownerId }, options);
  async function failureOf(call: Promise<unknown>) {
    const failure = ConnectError.from(
      await call.then(
        () => "no failure",
        (reason: unknown) => reason,
      ),
    );
    return [Code[failure.code], reasonOf(failure)];
  }

  /** Expects that an explanation has the decision of `CheckAccess` for every interaction, in the order of the enum. */
  async function expectAgreement(viewer: typeof signedOut | ReturnType<typeof viewerId>, ownerId: string) {
    const { interactions } = await explain(viewer, ownerId);
    expect(interactions.map(({ interaction }) => interaction)).to.eql(valuesOf(InteractionSchema));
    for (const { interaction, effect, cause } of interactions) {
      const check = await access.checkAccess({ viewer, ownerId, interaction }, options);
      expect([effect, cause], `${interaction}`).to.eql([check.effect, check.cause]);
    }
    return interactions;
  }

  it("of strangers is that nothing forbids anything", async () => {
    const interactions = await expectAgreement(viewerId(ann), bob.toUpperCase());
    for (const { effect, cause } of interactions)
      expect([effect, cause]).to.eql([Effect.ALLOW, Cause.UNSPECIFIED]);
    const settingOf = new Map(interactions.map(({ interaction, setting }) => [interaction, setting]));
    expect(settingOf.get(Interaction.FOLLOW)).to.equal(PrivacySetting.UNSPECIFIED);
    expect(settingOf.get(Interaction.ADD_TO_GROUP)).to.equal(PrivacySetting.GROUPS);
    const { facts } = await explain(viewerId(ann), bob);
    const { $typeName, readAt, settings, ...rest } = facts ?? expect.fail();
    expect(rest).to.eql({ viewerKnown: true, ownerKnown: true });
    expect(Math.abs(Number(readAt?.seconds) - Date.now() / 1_000)).to.be.below(60);
    expect(settings.map(({ $typeName, ...setting }) => setting)).to.eql(
      valuesOf(PrivacySettingSchema).map((setting) => ({
        setting,
        audience: Audience.ALL,
        excepted: false,
        includesViewer: true,
      })),
    );
  });

  it("names the facts that the decisions rest on", async () => {
    const [asAnn, asBob] = [await service.acting(ann), await service.acting(bob)];
    await service.graph.followUser({ followerId: bob, followeeId: ann }, options);
    await control.muteUser({ userId: bob }, asAnn);
    const setting = PrivacySetting.GROUPS;
    await control.updatePrivacySetting({ setting, value: Audience.CONTACT_BLACKLIST }, asBob);
    await control.updatePrivacyExceptions({ setting, addUserIds: [ann] }, asBob);
    const contacts = { setting: PrivacySetting.STATUS, value: Audience.CONTACTS };
    await control.updatePrivacySetting(contacts, asBob);
    const before = await explain(viewerId(ann), bob);
    expect(before.facts?.contact?.createdAt?.seconds).to.be.a("bigint");
    expect(before.facts?.muting).to.include.keys("createdAt").and.to.deep.include({ scopes: [] });
    expect(before.facts?.muting?.expiresAt).to.equal(undefined);
    const byName = (settings: readonly ExplainedSetting[]) =>
      new Map(settings.map((each) => [each.setting, [each.audience, each.excepted, each.includesViewer]]));
    const settings = byName(before.facts?.settings ?? []);
    expect(settings.get(PrivacySetting.GROUPS)).to.eql([Audience.CONTACT_BLACKLIST, true, false]);
    expect(settings.get(PrivacySetting.STATUS)).to.eql([Audience.CONTACTS, false, true]);
    await expectAgreement(viewerId(ann), bob);
    await expectAgreement(signedOut, bob);

    const { block } = await control.blockUser({ userId: ann }, asBob);
    const { facts, interactions } = await explain(viewerId(ann), bob);
    expect(facts?.blockedBy?.createdAt).to.eql(block?.createdAt);
    expect([facts?.blocking, facts?.contact]).to.eql([undefined, undefined]);
    const [message] = interactions.filter(({ interaction }) => interaction === Interaction.SEND_MESSAGE);
    expect([message?.effect, message?.cause]).to.eql([Effect.DENY, Cause.BLOCKED_BY]);
    await expectAgreement(viewerId(ann), bob);
    await expectAgreement(viewerId(bob), ann);
  });

  it("of oneself and of nobody agrees with the checks", async () => {
    for (const { cause } of await expectAgreement(viewerId(bob), bob)) expect(cause).to.equal(Cause.SELF);
    await expectAgreement(signedOut, bob);
    const { facts } = await explain(signedOut, bob);
    expect([facts?.viewerKnown, facts?.ownerKnown]).to.eql([false, true]);
  });

  it("denies everything for an unknown user, and tells who is unknown", async () => {
    const stranger = randomUUID();
    const asked = [
      [viewerId(stranger), bob, false, true],
      [viewerId(ann), stranger, true, false],
      [viewerId(stranger), randomUUID(), false, false],
      [signedOut, stranger, false, false],
    ] as const;
    for (const [viewer, owner, viewerKnown, ownerKnown] of asked) {
      const { facts, interactions } = await explain(viewer, owner);
      expect([facts?.viewerKnown, facts?.ownerKnown]).to.eql([viewerKnown, ownerKnown]);
      expect(facts?.settings).to.have.length(ownerKnown ? valuesOf(PrivacySettingSchema).length : 0);
      expect(interactions).to.have.length(valuesOf(InteractionSchema).length);
      for (const { effect, cause } of interactions)
        expect([effect, cause]).to.eql([Effect.DENY, Cause.UNKNOWN_USER]);
    }
  });

  it("takes a consistency, and answers with a token of its own", async () => {
    const { consistencyToken } = await explain(viewerId(ann), bob);
    const ask = (value: string) => {
      const consistency = { requirement: { case: "atLeastAsFresh", value } } as const;
      return access.explainAccess({ viewer: viewerId(ann), ownerId: bob, consistency }, options);
    };
    expect((await ask(consistencyToken)).consistencyToken).to.have.length(consistencyToken.length);
    const invalid = ["InvalidArgument", "INVALID_CONSISTENCY_TOKEN"];
    expect(await failureOf(ask("nonsense"))).to.eql(invalid);
  });

  it("needs a viewer and the id of an owner", async () => {
    const invalid = ["InvalidArgument", "INVALID_REQUEST"];
    expect(await failureOf(explain(undefined, bob))).to.eql(invalid);
    expect(await failureOf(explain(viewerId("ann"), bob))).to.eql(invalid);
    expect(await failureOf(explain(viewerId(ann), ""))).to.eql(invalid);
    const nobody = { case: "signedOut", value: false } as const;
    expect(await failureOf(access.explainAccess({ viewer: nobody, ownerId: bob }, options))).to.eql(invalid);
  });

  it("needs the scope access.explain, not access.read, and is not to be had on the public port", async () => {
    const as = async (token: Promise<string>) => ({ headers: { authorization: `Bearer ${await token}` } });
    const request = { viewer: viewerId(ann), ownerId: bob };
    for (const scopes of ["access.read", "access.read changes.read graph.read graph.write users.act"]) {
      const denied = access.explainAccess(request, await as(service.serviceToken(scopes)));
      expect(await failureOf(denied)).to.eql(["PermissionDenied", "SCOPE_MISSING"]);
    }
    const user = await as(service.userToken(ann));
    expect((await failureOf(access.explainAccess(request, user)))[1]).to.equal("TOKEN_INVALID");
    const scoped = await as(service.serviceToken("access.explain"));
    expect((await access.explainAccess(request, scoped)).facts?.viewerKnown).to.equal(true);
    const check = { ...request, interaction: Interaction.FOLLOW };
    expect((await failureOf(access.checkAccess(check, scoped)))[1]).to.equal("SCOPE_MISSING");
    for (const make of [createGrpcTransport, createConnectTransport]) {
      const outside = createClient(AccessService, make({ baseUrl: service.publicUrl, httpVersion: "2" }));
      expect((await failureOf(outside.explainAccess(request, user)))[0]).to.equal("Unimplemented");
    }
  });
});

describe("users found by their name", () => {
  let service: TestService;
  let options: CallOptions;
  before(async () => {
    service = await startService();
    options = await service.acting();
  });
  after(() => service?.stop(1_000));

  const idsOf = async (userName: string) =>
    (await service.graph.findUsers({ userName }, options)).users.map(({ id }) => id);

  it("are all of that name, ten at most, whatever their settings are", async () => {
    const ids = Array.from({ length: 12 }, () => randomUUID() as string).sort();
    const pictures = { profilePictureUrls: ["https://pictures.example/1.jpg"], isVerified: true };
    const users = ids.map((id) => ({
      id,
      userName: "Namesake",
      firstName: "Ann",
      lastName: "Lee",
      ...pictures,
    }));
    await service.graph.upsertUsers({ users }, options);
    const hidden = { setting: PrivacySetting.PROFILE_PICTURE, value: Audience.NONE };
    const transport = createGrpcTransport({ baseUrl: service.internalUrl });
    const control = createClient(PrivacyControlService, transport);
    await control.updatePrivacySetting(hidden, await service.acting(ids[0]));
    const { users: found } = await service.graph.findUsers({ userName: "Namesake" }, options);
    expect(found.map(({ $typeName, ...user }) => user)).to.eql(users.slice(0, 10));
    expect(await idsOf("namesake")).to.eql([]);
    await service.graph.deleteUser({ userId: ids[3] as string }, options);
    expect(await idsOf("Namesake")).to.eql(ids.filter((_, n) => n !== 3).slice(0, 10));
  });

  it("need a name that a user can have, and the scope graph.read", async () => {
    for (const userName of ["", "x".repeat(65), "a\0b"]) {
      const failure = ConnectError.from(await idsOf(userName).catch((reason: unknown) => reason));
      expect([Code[failure.code], reasonOf(failure)]).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
    }
    const token = await service.serviceToken("access.explain access.read changes.read graph.write users.act");
    const headers = { authorization: `Bearer ${token}` };
    const denied = service.graph.findUsers({ userName: "ann" }, { headers });
    const failure = ConnectError.from(await denied.catch((reason: unknown) => reason));
    expect(reasonOf(failure)).to.equal("SCOPE_MISSING");
  });
});
