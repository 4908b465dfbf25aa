import { expect } from "chai";
import { Kysely, sql } from "kysely";
import { boundedCancel, sendCancelRequest } from "../../src/store/cancel-request.ts";
import { SqlExecutor } from "../../src/store/executor.ts";
import { linedPool } from "../../src/store/lined-pool.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, tally } from "./suite/store.ts";

const cancelRequestCode = 80_877_102;
const isCancellation = (bytes: Buffer) => bytes.length === 16 && bytes.readInt32BE(4) === cancelRequestCode;

describe("a cancellation that comes late", () => {
  const store = onPostgresql();
  let proxy: FreezingProxy;
  const opened: Kysely<unknown>[] = [];

  beforeEach(async () => {
    proxy = await startFreezingProxy(store().url);
  });
  afterEach(async () => {
    await store().admin.query("rollback");
    for (const db of opened.splice(0)) await db.destroy();
    await proxy.close();
  });

  const lock = () => sql`select pg_advisory_xact_lock(7, 7)`;
  const holdLock = () => store().admin.query("begin; select pg_advisory_xact_lock(7, 7)");

  /** What becomes of a caller on the only connection of a pool, when the one before was cancelled late. */
  async function nextCaller(send: typeof sendCancelRequest): Promise<Record<string, number>> {
    const pool = linedPool({
      connectionString: proxy.url,
      application_name: "privacy-control",
      name: "lone",
      max: 1,
      log: () => {},
      patience: { burstMs: 60_000, standingMs: 60_000 },
      cancel: boundedCancel(1, send),
    });
    const db = new Kysely<unknown>({ dialect: pool.dialect });
    opened.push(db);
    const executor = new SqlExecutor(db);

    await holdLock();
    const controller = new AbortController();
    const first = failureOf(executor.read(lock(), controller.signal));
    await store().untilWaiting(1);
    const deliver = proxy.delay(isCancellation);
    controller.abort(new Error("the caller went away"));
    await first;
    await until(() => proxy.holds());
    // It ends by itself, and the next caller gets a connection.
    await store().admin.query("rollback");
    await until(async () => (await store().running()).length === 0);
    await holdLock();
    const next = tally([executor.read(lock())]);
    await store().untilWaiting(1);
    await deliver();
    await store().admin.query("rollback");
    return next;
  }

  it("never hits the statement of another caller", async () => {
    expect(await nextCaller(sendCancelRequest)).to.eql({ ok: 1 });
  });

  it("would hit it, if the connection were used again while the outcome is unknown", async () => {
    const careless: typeof sendCancelRequest = async (client) => {
      await sendCancelRequest(client);
      return "handled";
    };
    expect(await nextCaller(careless)).to.eql({ UNAVAILABLE: 1 });
  });
});
