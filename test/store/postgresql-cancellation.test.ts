import { expect } from "chai";
import { sql } from "kysely";
import { boundedCancel, sendCancelRequest } from "../../src/store/cancel-request.ts";
import { ConnectionTarget, parseDatabaseUrl } from "../../src/store/connection-target.ts";
import { SqlExecutor } from "../../src/store/executor.ts";
import { PgPool } from "../../src/store/pg-pool.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, tally } from "./suite/store.ts";

const cancelRequestCode = 80_877_102;
const isCancellation = (bytes: Buffer) => bytes.length === 16 && bytes.readInt32BE(4) === cancelRequestCode;

describe("a cancel request that arrives late", () => {
  const store = onPostgresql();
  let proxy: FreezingProxy;
  const opened: PgPool[] = [];

  beforeEach(async () => {
    proxy = await startFreezingProxy(store().url);
  });
  afterEach(async () => {
    await store().admin.query("rollback");
    for (const pool of opened.splice(0)) await pool.close();
    await proxy.close();
  });

  const lock = () => sql`select pg_advisory_xact_lock(7, 7)`;
  const holdLock = () => store().admin.query("begin; select pg_advisory_xact_lock(7, 7)");

  /** An executor on a pool of one connection. */
  function openLone(send: typeof sendCancelRequest): SqlExecutor {
    const pool = new PgPool({
      ...{ name: "lone", maxConnections: 1, acquireTimeoutMs: 60_000, maxWaiting: 1 },
      target: new ConnectionTarget(parseDatabaseUrl(proxy.url), () => {}),
      client: { application_name: "privacy-control" },
      statementNames: undefined,
      log: () => {},
      cancel: boundedCancel(1, send),
    });
    opened.push(pool);
    return new SqlExecutor(pool);
  }

  /** Aborts a read that waits for a lock. Its cancel request does not arrive; the read ends when it gets the lock. */
  async function abortRead(executor: SqlExecutor): Promise<() => Promise<void>> {
    await holdLock();
    const controller = new AbortController();
    const first = failureOf(executor.read(lock(), controller.signal));
    await store().untilWaiting(1);
    const deliver = proxy.delay(isCancellation);
    controller.abort(new Error("the caller went away"));
    await first;
    await until(() => proxy.holds());
    await store().admin.query("rollback");
    await until(async () => (await store().running()).length === 0);
    return deliver;
  }

  /** What becomes of the next caller on the same connection, when the cancel request arrives during its statement. */
  async function hitNext(send: typeof sendCancelRequest): Promise<Record<string, number>> {
    const executor = openLone(send);
    const deliver = await abortRead(executor);
    await holdLock();
    const next = tally([executor.read(lock())]);
    await store().untilWaiting(1);
    await deliver();
    await store().admin.query("rollback");
    return next;
  }

  it("never hits the statement of the next caller, who gets another connection when it has not arrived in time", async () => {
    expect(await hitNext(sendCancelRequest)).to.eql({ ok: 1 });
  });

  it("never hits the statement of the next caller, who waits until it has arrived", async () => {
    const executor = openLone((client) => sendCancelRequest(client, 60_000));
    const deliver = await abortRead(executor);
    await holdLock();
    let isNextOver = false;
    const next = tally([executor.read(lock())]).finally(() => {
      isNextOver = true;
    });
    // Long enough for a statement to reach the server, if one were sent.
    for (let i = 0; i < 100; i++) expect(await store().running()).to.eql([]);
    await deliver();
    await store().untilWaiting(1);
    expect(isNextOver).to.equal(false);
    await store().admin.query("rollback");
    expect(await next).to.eql({ ok: 1 });
  });

  it("would hit it, if the connection were used again while the outcome is unknown", async () => {
    const careless: typeof sendCancelRequest = async (client) => {
      await sendCancelRequest(client);
      return "handled";
    };
    expect(await hitNext(careless)).to.eql({ UNAVAILABLE: 1 });
  });

  it("would hit it, if the connection were used again before the cancel request has ended", async () => {
    const hasty: typeof sendCancelRequest = async (client) => {
      void sendCancelRequest(client, 60_000);
      return "handled";
    };
    expect(await hitNext(hasty)).to.eql({ UNAVAILABLE: 1 });
  });
});
