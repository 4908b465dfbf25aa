import { expect } from "chai";
import pg from "pg";
import type { AccessQuery } from "../../src/domain/access.ts";
import { allScopes } from "../../src/domain/changes.ts";
import type { UserId } from "../../src/domain/users.ts";
import { killServer } from "../resilience/support/server-faults.ts";
import { someUser } from "../store/suite/store.ts";
import { type IndexedDatabase, openIndexedDatabase } from "../support/indexed-database.ts";
import { startPgBouncer } from "../support/pgbouncer.ts";
import { findProgram } from "../support/programs.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";

const forever = { expiresAt: null, scopes: allScopes };
const rounds = 20;

describe("the relationship graph of a server", function () {
  this.timeout(120_000);
  let server: ThrowawayServer;
  let admin: pg.Client;
  let parts: AsyncDisposableStack;
  before(async function () {
    if (!canStartServer()) return this.skip();
    server = await startThrowawayServer({ settings: ["max_prepared_transactions=4"] });
  });
  after(() => server?.stop());
  beforeEach(async () => {
    parts = new AsyncDisposableStack();
    admin = await connect();
  });
  afterEach(() => parts.disposeAsync());

  async function connect(url = server.url): Promise<pg.Client> {
    const client = new pg.Client(url);
    client.on("error", () => {});
    await client.connect();
    parts.defer(() => client.end().catch(() => {}));
    return client;
  }

  async function open(options: Partial<Parameters<typeof openIndexedDatabase>[0]> = {}) {
    return parts.use(await openIndexedDatabase({ url: server.url, ...options }));
  }

  async function newPair({ database }: IndexedDatabase) {
    const users = [someUser(), someUser()] as const;
    await database.users.upsert([...users]);
    const [viewer, owner] = [users[0].id, users[1].id];
    return { viewer, owner, interaction: "VIEW_CONTENT" } as const;
  }

  const insertBlock = (client: pg.Client, { viewer, owner }: { viewer: UserId; owner: UserId }) =>
    client.query(
      "insert into blocks (blocker_id, blocked_id, id, created_at) values ($1, $2, gen_random_uuid(), now())",
      [viewer, owner],
    );

  it("that truncates a table: what was in it is forgotten at once", async () => {
    const indexed = await open();
    const query = await newPair(indexed);
    await indexed.database.blocks.block(query.viewer, query.owner, forever);
    expect(await indexed.decide(query)).to.equal("HIDE BLOCKING");
    await admin.query("truncate blocks");
    expect(await indexed.index.confirm(new AbortController().signal)).to.equal(false);
    await indexed.untilReady();
    expect(await indexed.decide(query)).to.equal("ALLOW");
    expect(indexed.index.counts.loads).to.equal(2);
  });

  it("that keeps no change any more since the last one that was seen: the graph is loaded again", async () => {
    const indexed = await open();
    const query = await newPair(indexed);
    expect(await indexed.decide(query)).to.equal("ALLOW");
    // As after a pause of the process that is longer than the log is kept, in one transaction.
    await admin.query("begin");
    await insertBlock(admin, query);
    await admin.query("delete from changes");
    await admin.query("delete from ticks");
    await admin.query("insert into ticks (id, snapshot, at) values (1000000, pg_current_snapshot(), now())");
    await admin.query("commit");
    expect(await indexed.index.confirm(new AbortController().signal)).to.equal(false);
    await until(() => indexed.index.counts.loads === 2);
    await indexed.untilReady();
    expect(await indexed.decide(query)).to.equal("HIDE BLOCKING");
  });

  it("that commits late what began early: known at once", async () => {
    const indexed = await open();
    const [early, inner, prepared] = [await newPair(indexed), await newPair(indexed), await newPair(indexed)];
    const [open1, open2] = [await connect(), await connect()];
    await open1.query("begin");
    await insertBlock(open1, early);
    await open1.query("savepoint a");
    await insertBlock(open1, inner);
    await open1.query("release savepoint a");
    await open2.query("begin");
    await insertBlock(open2, prepared);
    await open2.query("prepare transaction 'late'");
    for (let round = 0; round < rounds; round++) {
      const query = await newPair(indexed);
      await insertBlock(admin, query);
      expect(await indexed.decide(query)).to.equal("HIDE BLOCKING");
      expect(await indexed.decide(early)).to.equal("ALLOW");
    }
    await open1.query("commit");
    expect(await indexed.decide(early)).to.equal("HIDE BLOCKING");
    expect(await indexed.decide(inner)).to.equal("HIDE BLOCKING");
    expect(await indexed.decide(prepared)).to.equal("ALLOW");
    await admin.query("commit prepared 'late'");
    expect(await indexed.decide(prepared)).to.equal("HIDE BLOCKING");
    expect(indexed.index.counts.loads).to.equal(1);
  });

  it("that ends all sessions, since one has crashed: goes on without loading again", async () => {
    const indexed = await open();
    const query = await newPair(indexed);
    const victim = await connect();
    const { rows } = await victim.query("select pg_backend_pid() as pid");
    const run = await indexed.database.readIndex.serverRun();
    expect(await indexed.database.readIndex.serverRun()).to.equal(run);
    await indexed.database.blocks.block(query.viewer, query.owner, forever);
    process.kill(rows[0].pid, "SIGKILL");
    await until(() => indexed.index.mode !== "ready");
    await indexed.untilReady();
    expect(await indexed.decide(query)).to.equal("HIDE BLOCKING");
    await indexed.database.blocks.unblock(query.viewer, query.owner);
    expect(await indexed.decide(query)).to.equal("ALLOW");
    expect(indexed.index.counts.loads).to.equal(1);
    // A load that had begun before would have to begin anew.
    expect(await indexed.database.readIndex.serverRun()).not.to.equal(run);
  });

  it("whose connections are replaced: goes on without loading again", async () => {
    const indexed = await open({ connections: { connectionMaxAgeSeconds: 4 } });
    for (let round = 0; round < 3; round++) {
      const query = await newPair(indexed);
      await indexed.database.blocks.block(query.viewer, query.owner, forever);
      const seen = indexed.messages.length;
      await until(() => indexed.messages.slice(seen).includes("the graph is behind the database"));
      await indexed.untilReady();
      expect(await indexed.decideByTables(query)).to.equal("HIDE BLOCKING");
    }
    expect(indexed.index.counts.loads).to.equal(1);
  });

  it("into which very many edges are imported: every decision is right meanwhile, and checks are answered", async () => {
    const indexed = await open();
    const { database, index } = indexed;
    const users = Array.from({ length: 1_000 }, () => someUser());
    await database.users.upsert(users);
    const ids = users.map(({ id }) => id);
    const old = await newPair(indexed);
    await database.blocks.block(old.viewer, old.owner, forever);
    const stored: AccessQuery[] = [old];
    const checks = { memory: 0, tables: 0, wrong: 0 };
    const { signal } = new AbortController();
    const check = async () => {
      const query = stored[Math.floor(Math.random() * stored.length)] as AccessQuery;
      const decision = (await index.confirm(signal)) ? index.decide(query) : undefined;
      checks[decision === undefined ? "tables" : "memory"]++;
      const found = decision === undefined ? await indexed.decideByTables(query) : decision.effect;
      if (!found.startsWith("HIDE")) checks.wrong++;
    };
    let isOver = false;
    const callers = Array.from({ length: 8 }, async () => {
      while (!isOver) await check();
    });
    const seen: number[] = [];
    const importAll = async (part: number) => {
      const name = { service: "tests", id: crypto.randomUUID() };
      for (let batch = 0; batch < 5; batch++) {
        const edges = Array.from({ length: 1_000 }, (_, n) => ({
          owner: ids[n] as UserId,
          target: ids[(n + 1 + part * 5 + batch) % ids.length] as UserId,
          createdAt: null,
        }));
        await database.imports.store(
          name,
          batch * 1_000,
          edges.map((edge) => ({ kind: "block", edge })),
        );
        for (const { owner, target } of edges)
          stored.push({ viewer: target, owner, interaction: "VIEW_CONTENT" });
        seen.push(checks.memory + checks.tables);
      }
    };
    await Promise.all([importAll(0), importAll(1), importAll(2), importAll(3)]);
    isOver = true;
    await Promise.all(callers);
    expect(checks.wrong).to.equal(0);
    expect(new Set(seen).size).to.be.above(seen.length / 2);
    await indexed.untilReady();
    expect(await indexed.decide(old)).to.equal("HIDE BLOCKING");
    expect(stored.filter((query) => index.decide(query)?.effect !== "HIDE")).to.eql([]);
    expect(index.counts.loads).to.equal(1);
    expect(index.size.edges).to.be.at.least(stored.length);
  });

  it("whose standby is promoted without the last changes: forgets them too", async () => {
    const primary = await startThrowawayServer({ durable: true });
    parts.defer(() => primary.stop());
    const standby = await startThrowawayServer({ standbyOf: primary.url });
    parts.defer(() => standby.stop());
    const both = primary.url.replace(/(127[^/]*)/, `$1,${new URL(standby.url).host}`);
    const indexed = await open({ url: both });
    const [kept, lost] = [await newPair(indexed), await newPair(indexed)];
    await indexed.database.blocks.block(kept.viewer, kept.owner, forever);
    const atStandby = await connect(standby.url);
    await until(async () => (await atStandby.query("select from blocks")).rowCount === 1);
    await atStandby.query("alter system set primary_conninfo = ''");
    await atStandby.query("select pg_reload_conf()");
    await until(async () => (await atStandby.query("select from pg_stat_wal_receiver")).rowCount === 0);
    await indexed.database.blocks.block(lost.viewer, lost.owner, forever);
    await indexed.database.blocks.unblock(kept.viewer, kept.owner);
    expect(await indexed.decide(lost)).to.equal("HIDE BLOCKING");
    expect(await indexed.decide(kept)).to.equal("ALLOW");
    await killServer(primary);
    await until(() => indexed.index.mode !== "ready");
    await atStandby.query("select pg_promote()");
    await indexed.untilReady();
    expect(await indexed.decide(lost)).to.equal("ALLOW");
    expect(await indexed.decide(kept)).to.equal("HIDE BLOCKING");
  });

  it("behind a pooler that shares connections: no wrong decision of two instances", async function () {
    const program = findProgram("pgbouncer");
    if (program === undefined) return this.skip();
    const settings = ["default_pool_size = 3", "ignore_startup_parameters = extra_float_digits,options"];
    const pooler = await startPgBouncer({ program, mode: "transaction", url: server.url, settings });
    parts.defer(() => pooler.stop());
    const through = { url: pooler.url, connections: { preparedStatements: false } };
    const instances = [await open(through), await open(through)];
    const { signal } = new AbortController();
    for (let round = 0; round < rounds; round++) {
      const query = await newPair(instances[0] as IndexedDatabase);
      await insertBlock(admin, query);
      for (const { index } of instances)
        if (await index.confirm(signal)) expect(index.decide(query)?.cause).to.equal("BLOCKING");
    }
    const warning = "the graph cannot be kept current";
    await until(() => instances.some(({ messages }) => messages.includes(warning)));
    for (const { index } of instances) expect(index.counts.loads).to.equal(1);
  });
});
