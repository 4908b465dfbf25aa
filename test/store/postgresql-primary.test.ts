import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import type { CompiledQuery } from "kysely";
import pg from "pg";
import type { PrivacyError } from "../../src/domain/errors.ts";
import type { UserId } from "../../src/domain/users.ts";
import type { Tick } from "../../src/store/change-log.ts";
import type { SqlExecutor } from "../../src/store/executor.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { freezeServer } from "../resilience/support/server-faults.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { expectReason, failureOf, type TestStore, testStore } from "./suite/store.ts";

describe("a PostgreSQL server that is not the primary", function () {
  this.timeout(60_000);
  let primary: ThrowawayServer;
  let standby: ThrowawayServer;
  let store: TestStore;
  let [ann, bob]: UserId[] = [];
  const opened: TestStore[] = [];

  before(async function () {
    if (!canStartServer()) return this.skip();
    primary = await startThrowawayServer();
    store = testStore(await openPostgresql(primary.url, () => {}));
    await store.migrate();
    [ann, bob] = await store.newUsers(2);
    standby = await startThrowawayServer({ standbyOf: primary.url });
  });
  afterEach(async () => {
    for (const other of opened.splice(0)) await other.close();
  });
  after(async () => {
    await store?.close();
    await standby?.stop();
    await primary?.stop();
  });

  async function openAt(url: string): Promise<TestStore> {
    const other = testStore(await openPostgresql(url, () => {}));
    opened.push(other);
    return other;
  }
  const check = (other: TestStore) =>
    other.relationshipFacts.read([
      { viewer: ann as UserId, owner: bob as UserId, muteScope: 1, setting: null },
    ]);
  const checks = (other: TestStore) =>
    other.relationshipFacts.read(
      Array.from({ length: 2 }, () => ({
        viewer: ann as UserId,
        owner: bob as UserId,
        muteScope: 0,
        setting: null,
      })),
    );

  const relationship = (other: TestStore) => other.follows.relationship(ann as UserId, bob as UserId);

  const hiddenUsers = (other: TestStore) =>
    other.hiddenUsers.read({ viewer: ann as UserId, scope: 1, limit: 10, from: undefined });

  const explained = (other: TestStore) => other.explainedFacts.read(ann as UserId, bob as UserId);

  async function expectNoDecision(other: TestStore): Promise<void> {
    await expectReason(check(other), "UNAVAILABLE");
    await expectReason(checks(other), "UNAVAILABLE");
    await expectReason(relationship(other), "UNAVAILABLE");
    await expectReason(hiddenUsers(other), "UNAVAILABLE");
    await expectReason(explained(other), "UNAVAILABLE");
  }

  /** Runs a statement on the primary, with a connection of its own. */
  async function administer(statement: string): Promise<void> {
    const admin = new pg.Client(primary.url);
    await admin.connect();
    await admin.query(statement);
    await admin.end();
  }

  async function setReadOnly(value: "on" | "off"): Promise<void> {
    await administer(`alter system set default_transaction_read_only = ${value}`);
    await administer("select pg_reload_conf()");
    const settings = async () => {
      const admin = new pg.Client(primary.url);
      await admin.connect();
      const { rows } = await admin.query("show default_transaction_read_only");
      await admin.end();
      return rows[0].default_transaction_read_only;
    };
    await until(async () => (await settings()) === value);
  }

  it("makes no decision on a standby, and the error names the reason", async () => {
    const other = await openAt(standby.url);
    await expectNoDecision(other);
    const failure = (await failureOf(other.assertMigrated())) as PrivacyError;
    expect((failure.cause as Error).message).to.match(/standby/);
  });

  it("is skipped for the primary when the URL names both", async () => {
    const [first, second] = [standby.url, primary.url].map((url) => new URL(url).host);
    const other = await openAt(
      `postgres://postgres@${first},${second}/postgres?target_session_attrs=read-write`,
    );
    const present: boolean[] = [];
    other.watchAvailability((is) => present.push(is));
    expect(await check(other)).to.have.length(1);
    await other.settings.set(ann as UserId, "groups", "none");
    expect(other.describe()).to.equal(`${first},${second}/postgres`);
    expect(present).to.eql([]);
  });

  it("is reported unavailable by the health probe as a standby", async () => {
    const other = await openAt(standby.url);
    const present: boolean[] = [];
    other.watchAvailability((is) => present.push(is));
    await until(() => present.length > 0);
    expect(present).to.eql([false]);
    await expectNoDecision(other);
  });

  it("makes no decision over existing connections when the server becomes read-only", async () => {
    const other = await openAt(primary.url);
    await check(other);
    await checks(other);
    await relationship(other);
    await hiddenUsers(other);
    await explained(other);
    await setReadOnly("on");
    try {
      await expectNoDecision(other);
      await expectReason(other.blocks.block(ann as UserId, bob as UserId), "UNAVAILABLE");
    } finally {
      await setReadOnly("off");
    }
    expect(await check(other)).to.have.length(1);
  });

  it("tells nothing of the change log over existing connections when the server becomes read-only", async () => {
    const { changes } = await openAt(primary.url);
    const from = await changes.newestTick();
    await store.newUsers(1);
    const to = (await changes.tick({ force: true })) as Tick;
    const asks = [
      () => changes.tick(),
      () => changes.findTick(from),
      () => changes.ticksAfter(from, 10),
      () => changes.read(from, to, 0n, 10),
      () => changes.read(from, to, 1n, 10),
      () => changes.readState(undefined, 10),
    ];
    for (const ask of asks) await ask();
    await setReadOnly("on");
    try {
      for (const ask of asks) await expectReason(ask(), "UNAVAILABLE");
    } finally {
      await setReadOnly("off");
    }
    expect(await changes.findTick(from)).to.eql(from);
  });

  it("would decide if the statement of a check had no condition on the server", async () => {
    const backend = await openPostgresql(primary.url, () => {});
    const credulous: Pick<SqlExecutor, "read"> = {
      read(statement, signal) {
        const { sql, ...query } = statement as CompiledQuery<never>;
        const asking = /\s+where\s+\(select not pg_is_in_recovery\(\).*$/s;
        expect(sql).to.match(asking);
        return backend.checks.read({ ...query, sql: sql.replace(asking, "") }, signal);
      },
    };
    const other = testStore({ ...backend, checks: credulous as SqlExecutor });
    opened.push(other);
    await check(other);
    await setReadOnly("on");
    try {
      expect(await check(other)).to.have.length(1);
    } finally {
      await setReadOnly("off");
    }
  });

  it("is unavailable while it is read-only, and available when it takes changes", async () => {
    const other = await openAt(primary.url);
    const present: boolean[] = [];
    other.watchAvailability((is) => present.push(is));
    await check(other);
    await setReadOnly("on");
    try {
      await until(() => present.length > 0);
      await expectNoDecision(other);
    } finally {
      await setReadOnly("off");
    }
    await until(() => present.length > 1);
    expect(present).to.eql([false, true]);
    expect(await check(other)).to.have.length(1);
  });

  it("is refused when its database has another encoding than UTF8", async () => {
    await administer("create database latin template template0 encoding 'LATIN1'");
    const other = await openAt(new URL("/latin", primary.url).href);
    const failure = (await failureOf(other.assertMigrated())) as PrivacyError;
    expect((failure.cause as Error).message).to.match(/UTF8: it has LATIN1/);
  });

  it("loses each connection that refused a change", async () => {
    const other = await openAt(primary.url);
    await other.ping();
    const before = other.pools()[0]?.open;
    await setReadOnly("on");
    try {
      await expectReason(other.blocks.block(ann as UserId, bob as UserId), "UNAVAILABLE");
    } finally {
      await setReadOnly("off");
    }
    expect(before).to.equal(1);
    expect(other.pools()[0]?.open).to.equal(0);
  });

  // The last test: afterwards the standby is the primary.
  it("makes no decision on a server that was replaced while it was stopped", async () => {
    let target = new URL(primary.url);
    const sockets = new Set<Socket>();
    const proxy = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const [socket, peer] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(socket);
        socket.on("error", () => {}).on("close", () => peer.destroy());
        socket.pipe(peer);
      }
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const through = new URL(primary.url);
    through.port = String((proxy.address() as AddressInfo).port);
    const other = await openAt(through.href);
    const present: boolean[] = [];
    other.watchAvailability((is) => present.push(is));
    await check(other);
    const continueServer = await freezeServer(primary);
    try {
      await until(() => present.length > 0);
      const admin = new pg.Client(standby.url);
      await admin.connect();
      await admin.query("select pg_promote()");
      await admin.end();
      target = new URL(standby.url);
      const promoted = await openAt(standby.url);
      await promoted.blocks.block(ann as UserId, bob as UserId);
    } finally {
      continueServer();
    }
    const blocking: boolean[] = [];
    while (blocking.length < 20) {
      const [facts] = await check(other).catch(() => []);
      if (facts !== undefined) blocking.push(facts.blocking);
      await setTimeout(10);
    }
    for (const socket of sockets) socket.destroy();
    proxy.close();
    expect(blocking).to.not.include(false);
  });
});
