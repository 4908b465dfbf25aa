import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { until } from "../support/until.ts";
import { onPostgresql, withParameters } from "./suite/postgresql.ts";
import { expectReason, failureOf, type TestStore, tally, testStore, untilServed } from "./suite/store.ts";

const poolSize = 16;
/** So many changes wait for locks for longer than a moment. */
const lockWaiters = 4;
/** No more than a frozen server is waited for: one that only is slow answers before, also on a busy machine. */
const queryTimeout = { query_timeout: 1_500 };

describe("a PostgreSQL server that fails", () => {
  const store = onPostgresql();
  const opened: TestStore[] = [];
  let proxy: FreezingProxy;
  let [ann, bob]: UserId[] = [];
  /** Of one thing not all connections may wait. */
  let others: UserId[];

  before(async () => {
    proxy = await startFreezingProxy(store().url);
  });
  after(() => proxy?.close());

  beforeEach(async () => {
    [ann, bob] = await store().newUsers(2);
    others = await store().newUsers(poolSize);
  });
  afterEach(async () => {
    proxy.thaw();
    await store().admin.query("rollback");
    for (const other of opened.splice(0)) await other.close();
  });

  async function openAt(url: string, parameters: Record<string, string | number> = {}): Promise<TestStore> {
    const other = testStore(await openPostgresql(withParameters(url, parameters), () => {}));
    opened.push(other);
    return other;
  }

  it("changes that wait for a lock keep no decision waiting", async () => {
    const other = await openAt(store().url);
    await lockEdges();
    const mutes = others.map((owner) => other.mutes.mute(owner, bob as UserId).catch(() => {}));
    await store().untilWaiting(lockWaiters);
    const question = { viewer: ann as UserId, owner: ann as UserId, muteScope: 1, setting: null };
    expect(await other.relationshipFacts.read([question])).to.have.length(1);
    await store().untilWaiting(lockWaiters);
    await store().admin.query("rollback");
    await Promise.all(mutes);
  });

  async function lockEdges(): Promise<void> {
    await store().admin.query("begin; lock table blocks, mutes in exclusive mode");
  }

  const mute = (other: TestStore, owner = ann) => other.mutes.mute(owner as UserId, bob as UserId);
  const block = (other: TestStore, owner = ann) => other.blocks.block(owner as UserId, bob as UserId);

  it("is UNAVAILABLE when nothing listens", async () => {
    const nowhere = await openAt("postgres://postgres@127.0.0.1:1/nothing");
    await expectReason(nowhere.ping(), "UNAVAILABLE");
    await expectReason(block(nowhere), "UNAVAILABLE");
  });

  it("is UNAVAILABLE when the database or the user does not exist", async () => {
    await expectReason((await openAt(new URL("/no_such_database", store().url).href)).ping(), "UNAVAILABLE");
  });

  it("is UNAVAILABLE when its administrator ends the connections, and serves again afterwards", async () => {
    const other = await openAt(store().url, { lock_timeout: 500 });
    for (const act of [mute, block]) {
      await lockEdges();
      for (let round = 0; round < 2; round++) {
        const outcomes = tally(others.map((owner) => act(other, owner)));
        await store().untilWaiting(lockWaiters);
        await store().endConnections();
        expect(await outcomes).to.eql({ UNAVAILABLE: poolSize });
      }
      await store().admin.query("rollback");
      await Promise.all(others.map((owner) => act(store(), owner).catch(() => {})));
      await store().ping();
    }
  });

  it("is UNAVAILABLE when a lock is not granted in time", async () => {
    const hasty = await openAt(store().url, { lock_timeout: 50 });
    await lockEdges();
    await expectReason(mute(hasty), "UNAVAILABLE");
    await expectReason(block(hasty), "UNAVAILABLE");
    await hasty.ping();
  });

  it("is UNAVAILABLE when a statement takes too long", async () => {
    const hasty = await openAt(store().url, { statement_timeout: 500 });
    await expectReason(hasty.query(sql`select pg_sleep(10)`), "UNAVAILABLE");
    await hasty.ping();
  });

  it("is UNAVAILABLE when the pool is used up", async () => {
    const backend = await openPostgresql(store().url, () => {});
    const other = testStore(backend);
    opened.push(other);
    const holding = new AbortController();
    const holders = Array.from({ length: poolSize }, () =>
      backend.executor.read(sql`select pg_sleep(60)`, holding.signal).catch(() => {}),
    );
    await until(async () => (await store().running()).length === poolSize);
    await expectReason(other.ping(), "UNAVAILABLE");
    holding.abort();
    await Promise.all(holders);
    // They have their answers before their statements have ended.
    await untilServed(other);
  });

  it("is UNAVAILABLE when it accepts connections and never answers", async () => {
    const other = await openAt(proxy.url);
    proxy.freeze();
    const check = { viewer: ann as UserId, owner: bob as UserId, muteScope: 1, setting: null };
    const outcomes = await tally([other.ping(), other.relationshipFacts.read([check])]);
    expect(outcomes).to.eql({ UNAVAILABLE: 2 });
  });

  it("is UNAVAILABLE when it freezes, and its client is not used again", async () => {
    const hasty = await openAt(proxy.url, queryTimeout);
    await hasty.ping();
    const made = proxy.made();
    proxy.freeze();
    await expectReason(hasty.ping(), "UNAVAILABLE");
    proxy.thaw();
    await hasty.ping();
    expect(proxy.made()).to.equal(made + 1);
  });

  it("is UNAVAILABLE when it freezes before a new connection is known to lead to a primary", async () => {
    const hasty = await openAt(proxy.url, queryTimeout);
    const passOn = proxy.delay((bytes) => bytes.includes("pg_is_in_recovery"));
    await expectReason(hasty.ping(), "UNAVAILABLE");
    await passOn();
    await hasty.ping();
  });

  it("has its connections replaced at their maximum age", async () => {
    const other = testStore(await openPostgresql(store().url, () => {}, { connectionMaxAgeSeconds: 0.05 }));
    opened.push(other);
    const pid = async () => (await other.query(sql<{ pid: number }>`select pg_backend_pid() as pid`))[0]?.pid;
    const first = await pid();
    await until(async () => (await pid()) !== first);
  });

  it("does not use up the pool by freezing in a transaction", async () => {
    const hasty = await openAt(proxy.url, queryTimeout);
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: poolSize }, () => hasty.ping()));
      proxy.freeze();
      const outcomes = await tally(others.map((owner) => block(hasty, owner)));
      expect(outcomes).to.eql({ UNAVAILABLE: poolSize });
      proxy.thaw();
    }
    await Promise.all(Array.from({ length: poolSize }, () => hasty.ping()));
  });

  it("does not keep an aborted transaction waiting when it froze", async () => {
    const patient = await openAt(proxy.url, { query_timeout: 3_600_000 });
    await patient.ping();
    proxy.freeze();
    const controller = new AbortController();
    const call = failureOf(
      patient.blocks.block(ann as UserId, bob as UserId, undefined, undefined, controller.signal),
    );
    await until(() => proxy.holds());
    const reason = new Error("the caller went away");
    controller.abort(reason);
    expect(await call).to.equal(reason);
  });
});
