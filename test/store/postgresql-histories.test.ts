import { execFileSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import pg from "pg";
import type { UserId } from "../../src/domain/users.ts";
import type { Tick } from "../../src/store/change-log.ts";
import { findPostgresql } from "../support/programs.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { changesBetween, forcedTick } from "./suite/changes.ts";
import { openPostgresStore, type PostgresStore } from "./suite/postgresql.ts";
import { expectReason, type TestStore } from "./suite/store.ts";

describe("followers of the change log", function () {
  this.timeout(120_000);
  const resources: { end(): Promise<unknown> }[] = [];
  before(function () {
    if (!canStartServer()) this.skip();
  });
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource.end();
  });

  async function server(options?: Parameters<typeof startThrowawayServer>[0]): Promise<ThrowawayServer> {
    const started = await startThrowawayServer(options);
    resources.push({ end: () => started.stop() });
    return started;
  }

  async function connect(url: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => {});
    await client.connect();
    resources.push({ end: () => client.end() });
    return client;
  }

  async function openStore(url: string): Promise<PostgresStore> {
    const store = await openPostgresStore(url);
    resources.push({ end: () => store.close() });
    return store;
  }

  /** Every way to go on after a tick fails. */
  async function expectChanged({ changes }: TestStore, tick: Tick): Promise<void> {
    await expectReason(changes.findTick(tick), "HISTORY_CHANGED");
    await expectReason(changes.ticksAfter(tick, 10), "HISTORY_CHANGED");
    await expectReason(changes.read(tick, tick, 0n, 10), "HISTORY_CHANGED");
  }

  it("learn that a promoted standby lacks what they have seen, and go on with what it has", async () => {
    const primary = await server();
    const store = await openPostgresStore(primary.url);
    await store.migrate();
    const [ann, bob, carl] = (await store.newUsers(3)) as [UserId, UserId, UserId];
    await store.mutes.mute(ann, bob);
    const kept = await forcedTick(store);

    const standby = await server({ standbyOf: primary.url });
    const admin = await connect(standby.url);
    const { rows } = await store.admin.query("select pg_current_wal_lsn()::text as lsn");
    await until(async () => {
      const replayed = await admin.query("select pg_last_wal_replay_lsn() >= $1::pg_lsn as done", [
        rows[0].lsn,
      ]);
      return replayed.rows[0].done;
    });
    await admin.query("alter system set primary_conninfo = ''");
    await admin.query("select pg_reload_conf()");
    await until(async () => (await admin.query("select from pg_stat_wal_receiver")).rowCount === 0);
    await store.mutes.mute(ann, carl);
    const lost = await forcedTick(store);
    await store.close();
    process.kill(primary.pid(), "SIGKILL");
    await admin.query("select pg_promote()");
    await until(async () => !(await admin.query("select pg_is_in_recovery() as is")).rows[0].is);

    const promoted = await openStore(standby.url);
    await expectChanged(promoted, lost);
    await promoted.blocks.block(bob, carl);
    const next = await forcedTick(promoted);
    // A tick of the same id as the lost one.
    expect(next.id).to.equal(lost.id);
    await expectChanged(promoted, lost);
    expect(await promoted.changes.findTick(kept)).to.eql(kept);
    const changes = await changesBetween(promoted, kept, next);
    expect(changes.map(({ kind, owner }) => [kind, owner])).to.eql([["block", bob]]);
  });

  it("learn that a dump was restored into a younger server", async () => {
    const old = await openStore((await server()).url);
    await old.migrate();
    await old.admin.query(`
      do $$ begin
        for i in 1..5000 loop perform pg_current_xact_id(); commit; end loop;
      end $$`);
    const [ann, bob] = (await old.newUsers(2)) as [UserId, UserId];
    await old.mutes.mute(ann, bob);
    const tick = await forcedTick(old);
    const bin = dirname(realpathSync(join(String(findPostgresql()), "postgres")));
    const dump = execFileSync(join(bin, "pg_dump"), ["--inserts", "--dbname", old.url], { encoding: "utf8" });

    const young = await server();
    const admin = await connect(young.url);
    // The commands of psql are left out.
    await admin.query(dump.replaceAll(/^\\.*$/gm, ""));
    const restored = await openStore(young.url);
    await restored.assertMigrated();
    // At once, before any instance has stored a tick.
    await expectReason(restored.changes.findTick(tick), "HISTORY_CHANGED");
    await expectReason(restored.changes.ticksAfter(tick, 10), "HISTORY_CHANGED");
    const first = await restored.changes.tick();
    expect(first).to.have.property("id", 1n);
    await expectChanged(restored, tick);
    await restored.mutes.unmute(ann, bob);
    const changes = await changesBetween(restored, first as Tick, await forcedTick(restored));
    expect(changes.map(({ kind, owner }) => [kind, owner])).to.eql([["mute", ann]]);
  });
});
