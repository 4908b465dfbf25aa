import { randomUUID } from "node:crypto";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import pg from "pg";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { postgresUrl } from "../support/cluster.ts";
import { startService, type TestService } from "../support/service.ts";

const base = "/api/v1/e-social/privacy-control";

describe("the list of hidden users over gRPC", () => {
  let service: TestService;
  let access: Client<typeof AccessService>;
  let admin: pg.Client;
  let options: CallOptions;
  let [viewer, ...others]: string[] = [];
  before(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    service = await startService(url);
    access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
    options = await service.acting();
    admin = new pg.Client(url);
    await admin.connect();
  });
  after(async () => {
    await admin?.end();
    await service?.stop(1_000);
  });

  beforeEach(async () => {
    const ids = Array.from({ length: 9 }, () => randomUUID() as string).sort();
    viewer = ids.splice(4, 1)[0];
    others = ids;
    const users = [viewer as string, ...others].map((id) => ({ id, userName: "someone" }));
    await service.graph.upsertUsers({ users }, options);
  });

  const post = async (as: string, verb: "block" | "mute", target: string) => {
    const { status } = await service.rest("POST", `${base}/${verb}/${target}`, { as });
    expect(status).to.equal(200);
  };
  const list = (request: Parameters<typeof access.listHiddenUsers>[0] = {}) =>
    access.listHiddenUsers({ viewerId: viewer as string, ...request }, options);
  async function failureOf(call: Promise<unknown>): Promise<[string | undefined, string | undefined]> {
    const failure = await call.then(
      () => expect.fail("the call succeeded"),
      (error: unknown) => ConnectError.from(error),
    );
    return [Code[failure.code], reasonOf(failure)];
  }

  /** Hides everybody but the last two: the viewer blocks, is blocked, and mutes. */
  async function hideSix(): Promise<string[]> {
    for (const [i, other] of others.slice(0, 6).entries()) {
      if (i % 3 === 0) await post(viewer as string, "block", other);
      else if (i % 3 === 1) await post(other, "block", viewer as string);
      else await post(viewer as string, "mute", other);
    }
    return others.slice(0, 6);
  }

  it("has whom FilterUsers leaves out, ascending, in lower case, without an end", async () => {
    const hidden = await hideSix();
    const whole = await list({ viewerId: viewer?.toUpperCase() as string });
    expect(whole.userIds).to.eql(hidden);
    expect([whole.nextPageToken, whole.validUntil]).to.eql(["", undefined]);
    for (const interaction of [Interaction.VIEW_CONTENT, Interaction.RECEIVE_NOTIFICATION]) {
      expect((await list({ interaction })).userIds).to.eql(hidden);
      const { ownerIds } = await access.filterUsers(
        { viewer: { case: "viewerId", value: viewer as string }, ownerIds: others, interaction },
        options,
      );
      expect(others.filter((id) => !ownerIds.includes(id))).to.eql(hidden);
    }
  });

  it("comes in pages, from the token of the page before", async () => {
    const hidden = await hideSix();
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ pageSize: 4, pageToken });
      expect(page.userIds).to.have.length.within(1, 4);
      found.push(...page.userIds);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).to.eql(hidden);
  });

  it("has 1,000 users a page when no size is given, and 10,000 at most", async () => {
    await admin.query(
      `with crowd as (
         insert into users select gen_random_uuid(), 'crowd', '', '', '{}', false from generate_series(1, 10001)
         returning id
       )
       select count(*) from crowd`,
    );
    await admin.query(
      `insert into blocks select $1, id, gen_random_uuid(), now() from users where user_name = 'crowd'`,
      [viewer],
    );
    for (const [pageSize, size] of [
      [0, 1_000],
      [20_000, 10_000],
    ] as const) {
      const page = await list({ pageSize });
      expect(page.userIds).to.have.length(size);
      expect(page.nextPageToken).to.not.equal("");
    }
    await admin.query("delete from users where user_name = 'crowd'");
  });

  it("says when the first of its users stops being hidden", async () => {
    const [first, second] = others as [string, string];
    await post(viewer as string, "block", first);
    await post(viewer as string, "mute", second);
    const { rows } = await admin.query(
      `update mutes set expires_at = now() + interval '90 minutes' where muter_id = $1
       returning (extract(epoch from expires_at) * 1000000)::bigint::text as micros`,
      [viewer],
    );
    const { userIds, validUntil } = await list();
    expect(userIds).to.eql([first, second]);
    const { seconds = 0n, nanos = 0 } = validUntil ?? {};
    expect(String(seconds * 1_000_000n + BigInt(nanos / 1_000))).to.equal(rows[0].micros);
  });

  it("refuses the page token of another viewer and of another interaction", async () => {
    await hideSix();
    const { nextPageToken } = await list({ pageSize: 2 });
    expect(nextPageToken).to.not.equal("");
    const invalid = ["InvalidArgument", "INVALID_PAGE_TOKEN"];
    const asOther = list({ viewerId: others[0] as string, pageToken: nextPageToken });
    expect(await failureOf(asOther)).to.eql(invalid);
    const otherwise = list({
      interaction: Interaction.RECEIVE_NOTIFICATION,
      pageToken: nextPageToken,
    });
    expect(await failureOf(otherwise)).to.eql(invalid);
    expect(await failureOf(list({ pageToken: `${nextPageToken}A` }))).to.eql(invalid);
    // The default is VIEW_CONTENT, by whichever name.
    const page = await list({ interaction: Interaction.VIEW_CONTENT, pageToken: nextPageToken });
    expect(page.userIds).to.have.length(4);
  });

  it("refuses an unknown viewer, other interactions and a negative size", async () => {
    expect(await failureOf(list({ viewerId: randomUUID() }))).to.eql(["NotFound", "USER_NOT_FOUND"]);
    const invalid = ["InvalidArgument", "INVALID_REQUEST"];
    for (const interaction of [Interaction.FOLLOW, Interaction.VIEW_PROFILE])
      expect(await failureOf(list({ interaction }))).to.eql(invalid);
    expect(await failureOf(list({ pageSize: -1 }))).to.eql(invalid);
    expect(await failureOf(list({ viewerId: "" }))).to.eql(invalid);
  });

  it("needs the scope access.read, and is not to be had on the public port", async () => {
    const headers = async (token: Promise<string>) => ({
      headers: { authorization: `Bearer ${await token}` },
    });
    const request = { viewerId: viewer as string };
    const unscoped = await headers(service.serviceToken("graph.read graph.write users.act"));
    expect((await failureOf(access.listHiddenUsers(request, unscoped)))[1]).to.equal("SCOPE_MISSING");
    const user = await headers(service.userToken(viewer as string));
    expect((await failureOf(access.listHiddenUsers(request, user)))[1]).to.equal("TOKEN_INVALID");
    const outside = createClient(AccessService, createGrpcTransport({ baseUrl: service.publicUrl }));
    for (const as of [user, await headers(service.serviceToken("access.read"))])
      expect((await failureOf(outside.listHiddenUsers(request, as)))[0]).to.equal("Unimplemented");
  });
});
