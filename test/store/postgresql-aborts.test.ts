import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, someUser, testStore } from "./suite/store.ts";

const poolSize = 16;
/** So many changes wait for locks for longer than a moment. */
const lockWaiters = 4;

async function expectAll(calls: Promise<unknown>[], reason: Error): Promise<void> {
  for (const failure of await Promise.all(calls.map(failureOf))) expect(failure).to.equal(reason);
}

describe("aborts on PostgreSQL", () => {
  const store = onPostgresql();
  let [ann, bob]: UserId[] = [];
  /** Of one thing not all connections may wait. */
  let others: UserId[];
  const said: unknown[] = [];
  const { error } = console;

  beforeEach(async () => {
    [ann, bob] = await store().newUsers(2);
    others = await store().newUsers(poolSize);
    said.length = 0;
    console.error = (...parts) => said.push(parts);
  });
  afterEach(async () => {
    console.error = error;
    await store().admin.query("rollback");
  });

  async function lockEdges(): Promise<void> {
    await store().admin.query("begin; lock table blocks, mutes in exclusive mode");
  }

  const untilIdle = () => until(async () => (await store().running()).length === 0);

  it("cancel the waiting statement, and keep the connection for the next caller", async () => {
    await lockEdges();
    const reason = new Error("the caller went away");
    for (let round = 0; round < 3; round++) {
      const controllers = Array.from({ length: poolSize }, () => new AbortController());
      const calls = controllers.map(({ signal }, i) =>
        store().mutes.mute(others[i] as UserId, bob as UserId, undefined, undefined, signal),
      );
      await store().untilWaiting(lockWaiters);
      for (const controller of controllers) controller.abort(reason);
      await expectAll(calls, reason);
      await untilIdle();
    }
    await store().admin.query("rollback");
    await Promise.all(Array.from({ length: poolSize * 2 }, () => store().ping()));
    for (const other of others) expect(await store().mutes.list(other, 1)).to.eql([]);
    expect(said).to.eql([]);
  });

  it("cancel the statement that waits in a transaction, and roll it back", async () => {
    await lockEdges();
    const reason = new Error("the caller went away");
    for (let round = 0; round < 2; round++) {
      const controllers = Array.from({ length: poolSize }, () => new AbortController());
      const calls = others.map((other, i) =>
        store().blocks.block(other, bob as UserId, undefined, undefined, controllers[i]?.signal),
      );
      await store().untilWaiting(lockWaiters);
      for (const controller of controllers) controller.abort(reason);
      await expectAll(calls, reason);
      await untilIdle();
    }
    await store().admin.query("rollback");
    // The callers have their answers before the rollbacks are done.
    await until(async () => {
      const { rows } = await store().admin.query(
        "select from pg_stat_activity where datname = current_database() and state like 'idle in %'",
      );
      return rows.length === 0;
    });
    await store().blocks.block(ann as UserId, bob as UserId);
    expect(said).to.eql([]);
  });

  it("end the wait for a connection of the pool", async () => {
    const poolLimits = { acquireTimeoutMs: 60_000 };
    const backend = await openPostgresql(store().url, () => {}, { poolLimits });
    const other = testStore(backend);
    const holding = new AbortController();
    const holders = others.map(() => backend.executor.read(sql`select pg_sleep(60)`, holding.signal));
    await until(async () => (await store().running()).length === poolSize);
    const reason = new Error("the caller went away");
    const controller = new AbortController();
    const calls = [
      other.ping(controller.signal),
      other.follows.follow(ann as UserId, bob as UserId, controller.signal),
      other.users.upsert([someUser()], controller.signal),
    ];
    controller.abort(reason);
    await expectAll(calls, reason);
    holding.abort(reason);
    await expectAll(holders, reason);
    await other.ping();
    await other.close();
  });

  it("never abort a commit", async () => {
    const { admin } = store();
    await admin.query(`
      create function wait_for_test() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock(1, 1); return null; end $$`);
    await admin.query(`
      create constraint trigger wait_for_test after insert on blocks
      deferrable initially deferred for each row execute function wait_for_test()`);
    await admin.query("select pg_advisory_lock(1, 1)");
    const controller = new AbortController();
    const block = store().blocks.block(ann as UserId, bob as UserId, undefined, undefined, controller.signal);
    await until(async () =>
      (await store().running()).some(({ query, waits }) => query === "commit" && waits),
    );
    controller.abort();
    await admin.query("select pg_advisory_unlock(1, 1)");
    const { result } = await block;
    await admin.query("drop trigger wait_for_test on blocks");
    expect(await store().blocks.list(ann as UserId, 10)).to.eql([result]);
  });
});
