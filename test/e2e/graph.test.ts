import { randomUUID } from "node:crypto";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { startService, type TestService } from "../support/service.ts";

const nothing = {
  following: false,
  followedBy: false,
  blocking: false,
  blockedBy: false,
  muting: false,
  mutedBy: false,
};

describe("the graph service", () => {
  let service: TestService;
  let options: CallOptions;
  before(async () => {
    service = await startService();
    options = await service.acting();
  });
  after(() => service.stop(1_000));

  const user = (id: string = randomUUID()) => ({
    id,
    userName: "someone",
    firstName: "",
    lastName: "",
    profilePictureUrls: ["https://cdn.example/1.jpg"],
    isVerified: true,
  });

  async function newUsers(count: number): Promise<string[]> {
    const users = Array.from({ length: count }, () => user());
    await service.graph.upsertUsers({ users }, options);
    return users.map(({ id }) => id);
  }

  async function reason(call: Promise<unknown>): Promise<[string | undefined, string | undefined]> {
    try {
      await call;
      return ["OK", undefined];
    } catch (failure) {
      const error = ConnectError.from(failure);
      return [Code[error.code], reasonOf(error)];
    }
  }

  it("stores users, replaces them, and lets two share a name", async () => {
    const [a, b] = [user(), user()];
    await service.graph.upsertUsers({ users: [a, b] }, options);
    await service.graph.upsertUsers({ users: [{ ...a, firstName: "New", id: a.id.toUpperCase() }] }, options);
    expect((await service.graph.getUser({ userId: a.id }, options)).user).to.deep.include({
      ...a,
      firstName: "New",
    });
    expect((await service.graph.getUser({ userId: b.id }, options)).user).to.deep.include(b);
  });

  it("stores all users of a request or none, and names every invalid field", async () => {
    const good = user();
    const bad = { ...user("x"), userName: "" };
    const call = service.graph.upsertUsers({ users: [good, bad] }, options);
    const error = ConnectError.from(await call.catch((failure: unknown) => failure));
    expect(error.code).to.equal(Code.InvalidArgument);
    const fields = error.findDetails(BadRequestSchema)[0]?.fieldViolations.map(({ field }) => field);
    expect(fields).to.eql(["users[1].id", "users[1].user_name"]);
    expect(await reason(service.graph.getUser({ userId: good.id }, options))).to.eql([
      "NotFound",
      "USER_NOT_FOUND",
    ]);
    expect(await reason(service.graph.upsertUsers({ users: [] }, options))).to.eql([
      "InvalidArgument",
      "INVALID_REQUEST",
    ]);
    const nul = service.graph.upsertUsers({ users: [{ ...user(), firstName: "a\0b" }] }, options);
    expect(await reason(nul)).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
  });

  it("follows and unfollows, once and again", async () => {
    const [a = "", b = ""] = await newUsers(2);
    for (let i = 0; i < 2; i++) {
      await service.graph.followUser({ followerId: a, followeeId: b }, options);
      const seen = await service.graph.getRelationship({ userId: a, otherUserId: b }, options);
      expect(seen).to.deep.include({ ...nothing, following: true });
      const seenBack = await service.graph.getRelationship({ userId: b, otherUserId: a }, options);
      expect(seenBack).to.deep.include({ ...nothing, followedBy: true });
    }
    for (let i = 0; i < 2; i++) {
      await service.graph.unfollowUser({ followerId: a, followeeId: b }, options);
      expect(await service.graph.getRelationship({ userId: a, otherUserId: b }, options)).to.deep.include(
        nothing,
      );
    }
  });

  it("refuses a follow of oneself, of a stranger, and across a block in either direction", async () => {
    const [a = "", b = ""] = await newUsers(2);
    const follow = (followerId: string, followeeId: string) =>
      reason(service.graph.followUser({ followerId, followeeId }, options));
    expect(await follow(a, a.toUpperCase())).to.eql(["InvalidArgument", "CANNOT_FOLLOW_SELF"]);
    expect(await follow(a, randomUUID())).to.eql(["NotFound", "USER_NOT_FOUND"]);
    expect(await follow(randomUUID(), a)).to.eql(["NotFound", "USER_NOT_FOUND"]);
    await service.rest("POST", `/api/v1/e-social/privacy-control/block/${b}`, { as: a });
    expect(await follow(a, b)).to.eql(["FailedPrecondition", "FOLLOW_ACROSS_BLOCK"]);
    expect(await follow(b, a)).to.eql(["FailedPrecondition", "FOLLOW_ACROSS_BLOCK"]);
  });

  it("erases a user and all that mentions it, once and again", async () => {
    const [a = "", b = ""] = await newUsers(2);
    await service.rest("POST", `/api/v1/e-social/privacy-control/block/${b}`, { as: a });
    await service.rest("POST", `/api/v1/e-social/privacy-control/mute/${b}`, { as: a });
    await service.rest("POST", `/api/v1/e-social/privacy-control/mute/${a}`, { as: b });
    for (let i = 0; i < 2; i++) await service.graph.deleteUser({ userId: b }, options);
    expect(
      (await service.rest("GET", "/api/v1/e-social/privacy-control/blocked", { as: a })).json.data,
    ).to.eql([]);
    expect((await service.rest("GET", "/users/me/privacy", { as: b })).status).to.equal(401);
    await service.graph.upsertUsers({ users: [user(b)] }, options);
    const fresh = await service.graph.getRelationship({ userId: a, otherUserId: b }, options);
    expect(fresh).to.deep.include(nothing);
  });

  it("has no relationship between strangers, or of a user with itself", async () => {
    const [a = ""] = await newUsers(1);
    const withStranger = service.graph.getRelationship({ userId: a, otherUserId: randomUUID() }, options);
    expect(await reason(withStranger)).to.eql(["NotFound", "USER_NOT_FOUND"]);
    expect(await service.graph.getRelationship({ userId: a, otherUserId: a }, options)).to.deep.include(
      nothing,
    );
  });
});
