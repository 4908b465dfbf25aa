import { expect } from "chai";
import pg from "pg";
import { allScopes, muteScopes } from "../../src/domain/changes.ts";
import type { UserId } from "../../src/domain/users.ts";
import { someUser } from "../store/suite/store.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { type IndexedDatabase, openIndexedDatabase } from "../support/indexed-database.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";

const forever = { expiresAt: null, scopes: allScopes };

async function newUsers<Count extends number>({ database }: IndexedDatabase, count: Count) {
  const users = Array.from({ length: count }, () => someUser());
  await database.users.upsert(users);
  return users.map(({ id }) => id) as UserId[] & { length: Count };
}

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`the relationship index on ${backend}`, function () {
    this.timeout(60_000);
    let indexed: IndexedDatabase;
    before(async function () {
      indexed = await openIndexedDatabase({ url: await databaseUrl(this) });
    });
    after(() => indexed?.[Symbol.asyncDispose]());

    it("knows every change that was acknowledged before it is asked", async () => {
      const { database, decide } = indexed;
      const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
      const see = { viewer, owner, interaction: "VIEW_CONTENT" } as const;
      const lastSeen = { viewer, owner, interaction: "VIEW_LAST_SEEN" } as const;
      expect(await decide(see)).to.equal("ALLOW");
      await database.blocks.block(owner, viewer, forever);
      expect(await decide(see)).to.equal("HIDE BLOCKED_BY");
      await database.blocks.unblock(owner, viewer);
      expect(await decide(see)).to.equal("ALLOW");
      await database.mutes.mute(viewer, owner, { expiresAt: null, scopes: muteScopes.notifications });
      expect(await decide(see)).to.equal("ALLOW");
      await database.mutes.update(viewer, owner, { scopes: muteScopes.content });
      expect(await decide(see)).to.equal("HIDE MUTING");
      await database.settings.set(owner, "last_seen", "contact_blacklist");
      expect(await decide(lastSeen)).to.equal("DENY AUDIENCE");
      await database.follows.follow(owner, viewer);
      expect(await decide(lastSeen)).to.equal("ALLOW");
      await database.exceptions.update(owner, "last_seen", { add: [viewer], remove: [] });
      expect(await decide(lastSeen)).to.equal("DENY AUDIENCE");
      await database.users.delete(owner);
      expect(await decide(lastSeen)).to.equal("DENY UNKNOWN_USER");
    });

    // The embedded database in memory ends with the index on it.
    if (backend === embedded.backend) return;

    it("loads what is in the tables before it is started", async function () {
      const url = await databaseUrl(this);
      await using first = await openIndexedDatabase({ url });
      const [viewer = "" as UserId, owner = "" as UserId, third = "" as UserId] = await newUsers(first, 3);
      await first.database.blocks.block(viewer, third, forever);
      await first.database.mutes.mute(viewer, owner, { expiresAt: null, scopes: muteScopes.content });
      await first.database.follows.follow(owner, viewer);
      await first.database.settings.set(owner, "groups", "contact_blacklist");
      await first.database.settings.set(owner, "status", "contacts");
      await first.database.exceptions.update(owner, "groups", { add: [viewer], remove: [] });
      await using second = await openIndexedDatabase({ url });
      for (const [interaction, target, expected] of [
        ["MENTION", third, "DENY BLOCKING"],
        ["VIEW_CONTENT", owner, "HIDE MUTING"],
        ["RECEIVE_NOTIFICATION", owner, "ALLOW"],
        ["ADD_TO_GROUP", owner, "DENY AUDIENCE"],
        ["VIEW_STATUS", owner, "ALLOW"],
        ["VIEW_LAST_SEEN", owner, "ALLOW"],
      ] as const) {
        const query = { viewer, owner: target, interaction };
        expect(await second.decideByTables(query), interaction).to.equal(expected);
        expect(await second.decide(query), interaction).to.equal(expected);
      }
    });
  });
}

describe("the relationship index, when the server", function () {
  this.timeout(120_000);
  let server: ThrowawayServer;
  let indexed: IndexedDatabase;
  let admin: pg.Client;
  before(function () {
    if (!canStartServer()) this.skip();
  });
  beforeEach(async () => {
    server = await startThrowawayServer({ durable: true });
    indexed = await openIndexedDatabase({ url: server.url });
    admin = new pg.Client(server.url);
    admin.on("error", () => {});
    await admin.connect();
  });
  afterEach(async () => {
    await admin.end().catch(() => {});
    await indexed[Symbol.asyncDispose]();
    await server.stop();
  });

  const terminate = () =>
    admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where pid <> pg_backend_pid() and query like '%privacy.read_index%'`,
    );

  it("ends the session: goes on without loading again", async () => {
    const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
    const see = { viewer, owner, interaction: "VIEW_CONTENT" } as const;
    await indexed.database.blocks.block(viewer, owner, forever);
    expect(await indexed.decide(see)).to.equal("HIDE BLOCKING");
    await terminate();
    await until(() => indexed.messages.includes("the graph is behind the database"));
    await indexed.untilReady();
    expect(await indexed.decide(see)).to.equal("HIDE BLOCKING");
    await indexed.database.blocks.unblock(viewer, owner);
    expect(await indexed.decide(see)).to.equal("ALLOW");
    expect(indexed.index.counts.loads).to.equal(1);
  });

  it("crashes: goes on without loading again", async () => {
    const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
    const see = { viewer, owner, interaction: "VIEW_CONTENT" } as const;
    await indexed.database.blocks.block(viewer, owner, forever);
    await until(() => indexed.index.ageMs < 100);
    process.kill(server.pid(), "SIGQUIT");
    await until(() => indexed.index.mode !== "ready");
    await server.restart();
    await indexed.untilReady();
    expect(await indexed.decide(see)).to.equal("HIDE BLOCKING");
    expect(indexed.index.counts.loads).to.equal(1);
  });

  it("changes more at once than a statement brings: asks the tables, and goes on", async () => {
    const [viewer = "" as UserId] = await newUsers(indexed, 1);
    await admin.query(
      `with many as (
         insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
         select gen_random_uuid(), 'many', '', '', '{}', false from generate_series(1, 6000) returning id
       ) insert into blocks (blocker_id, blocked_id, id, created_at)
         select id, $1, gen_random_uuid(), now() from many`,
      [viewer],
    );
    await until(() => indexed.messages.includes("the graph is behind the database"));
    await indexed.untilReady();
    const { rows } = await admin.query<{ id: UserId }>(
      "select id from users where user_name = 'many' limit 3",
    );
    for (const { id } of rows)
      expect(await indexed.decide({ viewer, owner: id, interaction: "FOLLOW" })).to.equal("DENY BLOCKED_BY");
    expect(indexed.index.counts.loads).to.equal(1);
  });

  it("loses commits in a crash: forgets them too", async () => {
    await admin.query("alter system set synchronous_commit = off");
    await admin.query("alter system set wal_writer_delay = '10s'");
    await admin.query("select pg_reload_conf()");
    const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
    await admin.query("checkpoint");
    const see = { viewer, owner, interaction: "VIEW_CONTENT" } as const;
    await indexed.database.blocks.block(viewer, owner, forever);
    expect(await indexed.decide(see)).to.equal("HIDE BLOCKING");
    process.kill(server.pid(), "SIGQUIT");
    await until(() => indexed.index.mode !== "ready");
    await server.restart();
    await indexed.untilReady();
    expect(await indexed.decide(see)).to.equal(await indexed.decideByTables(see));
  });

  it("does not answer: its last state can be had, and no decision that is current", async () => {
    const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
    const query = { viewer, owner, interaction: "VIEW_CONTENT" } as const;
    await indexed.database.blocks.block(viewer, owner, forever);
    expect(await indexed.decide(query)).to.equal("HIDE BLOCKING");
    const { state } = indexed.index;
    process.kill(server.pid(), "SIGQUIT");
    await until(() => indexed.index.mode !== "ready");
    expect(await indexed.index.confirm(new AbortController().signal)).to.equal(false);
    expect(indexed.index.decide(query)).to.eql({ effect: "HIDE", cause: "BLOCKING" });
    expect(indexed.index.state?.server).to.equal(state?.server);
    const age = indexed.index.ageMs;
    await until(() => indexed.index.ageMs > age);
    await server.restart();
    await indexed.untilReady();
  });
});

describe("a relationship index", function () {
  this.timeout(120_000);
  let url: string | undefined;
  before(async function () {
    url = await postgresql.databaseUrl(this);
  });

  it("that is too large goes without follows, then without everything", async () => {
    await using first = await openIndexedDatabase({ url });
    const [viewer = "" as UserId, owner = "" as UserId, other = "" as UserId] = await newUsers(first, 300);
    const admin = new pg.Client(url);
    await admin.connect();
    await admin.query(
      "insert into follows select a.id, b.id, now() from users a cross join users b where a.id <> b.id",
    );
    await admin.end();
    await first.database.settings.set(owner, "status", "contacts");
    await first.database.blocks.block(owner, viewer, forever);
    await until(() => first.index.mode === "ready" && first.index.size.edges === 300 * 299 - 1);
    // The block has ended two follows.
    const { bytes } = first.index.size;
    await using without = await openIndexedDatabase({ url, maxBytes: bytes / 2 });
    expect(without.index.keepsFollows).to.equal(false);
    expect(await without.decide({ viewer, owner, interaction: "FOLLOW" })).to.equal("DENY BLOCKED_BY");
    expect(await without.decide({ viewer, owner: other, interaction: "VIEW_STATUS" })).to.equal("ALLOW");
    expect(await without.decide({ viewer, owner, interaction: "VIEW_STATUS" })).to.equal("undecided");
    await using none = await openIndexedDatabase({ url, maxBytes: 1 });
    expect(none.index.mode).to.equal("too_large");
    expect(await none.index.confirm(new AbortController().signal)).to.equal(false);
    expect(none.index.decide({ viewer, owner, interaction: "FOLLOW" })).to.equal(undefined);
  });

  it("that differs from the tables is dropped, and loaded again", async () => {
    await using indexed = await openIndexedDatabase({ url, auditMs: 100 });
    const [viewer = "" as UserId, owner = "" as UserId] = await newUsers(indexed, 2);
    const admin = new pg.Client(url);
    await admin.connect();
    // What was asked about is compared for certain.
    expect(await indexed.decide({ viewer, owner, interaction: "FOLLOW" })).to.equal("ALLOW");
    // No trigger fires.
    await admin.query("set session_replication_role = replica");
    await admin.query(
      "insert into blocks (blocker_id, blocked_id, id, created_at) values ($1, $2, $1, now())",
      [viewer, owner],
    );
    await admin.end();
    await until(() => indexed.index.counts.loads > 1);
    await indexed.untilReady();
    expect(indexed.messages).to.include("the graph is dropped");
    expect(indexed.index.counts.differences).to.be.greaterThan(0);
    expect(await indexed.decide({ viewer, owner, interaction: "FOLLOW" })).to.equal("DENY BLOCKING");
  });
});
