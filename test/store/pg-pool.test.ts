import { expect } from "chai";
import { CompiledQuery, sql } from "kysely";
import { ConnectionTarget, parseDatabaseUrl } from "../../src/store/connection-target.ts";
import { SqlExecutor } from "../../src/store/executor.ts";
import { type PgConnection, PgPool, StatementNames } from "../../src/store/pg-pool.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf } from "./suite/store.ts";

describe("a pool of PostgreSQL connections", () => {
  const store = onPostgresql();
  let messages: string[];
  let pool: PgPool;
  let waits: string[];

  beforeEach(() => {
    messages = [];
    waits = [];
    pool = new PgPool({
      ...{ name: "lone", maxConnections: 1, acquireTimeoutMs: 60_000, maxWaiting: 1 },
      target: new ConnectionTarget(parseDatabaseUrl(store().url), () => {}),
      client: { application_name: "lone" },
      statementNames: new StatementNames(),
      log: (message) => messages.push(message),
      onWait: (name) => waits.push(name),
    });
  });
  afterEach(() => pool?.close());

  async function use<T>(work: (connection: PgConnection) => Promise<T>): Promise<T> {
    const connection = await pool.acquire();
    try {
      return await work(connection);
    } finally {
      pool.release(connection);
    }
  }

  const prepared = (connection: PgConnection) =>
    connection.query<{ statement: string }>(
      CompiledQuery.raw("select statement from pg_prepared_statements"),
    );

  it("prepares a statement with values once", async () => {
    await use(async (connection) => {
      for (let n = 0; n < 3; n++)
        expect(await connection.query(CompiledQuery.raw("select $1::int as n", [n]))).to.eql([{ n }]);
      expect(await prepared(connection)).to.eql([{ statement: "select $1::int as n" }]);
    });
  });

  it("prepares no statement without values", async () => {
    await use(async (connection) => {
      await connection.query(CompiledQuery.raw("select 1"));
      await connection.execute("select 2; select 3");
      expect(await prepared(connection)).to.eql([]);
    });
  });

  it("prepares no more than 500 statements", () => {
    const names = new StatementNames();
    const all = Array.from({ length: 520 }, (_, n) => names.nameOf(`select $1::int + ${n}`));
    expect(new Set(all.filter((name) => name !== undefined)).size).to.equal(500);
  });

  it("uses a connection again after a statement that failed", async () => {
    const pid = () =>
      use((connection) => connection.query(CompiledQuery.raw("select pg_backend_pid() as pid")));
    const before = await pid();
    await use(async (connection) => {
      expect(
        await failureOf(connection.query(CompiledQuery.raw("select 1 / $1::int", [0]))),
      ).to.have.property("code", "22012");
    });
    expect(await pid()).to.eql(before);
  });

  it("does not use a connection again that is left in a transaction", async () => {
    const pid = () =>
      use((connection) => connection.query(CompiledQuery.raw("select pg_backend_pid() as pid")));
    const before = await pid();
    await use((connection) => connection.execute("begin"));
    expect(await pid()).not.to.eql(before);
  });

  it("runs nothing after a statement of a message that fails", async () => {
    await use(async (connection) => {
      await connection.execute("create temporary table numbers (n int)");
      const failure = await failureOf(connection.execute("select 1 / 0; insert into numbers values (1)"));
      expect(failure).to.have.property("code", "22012");
      expect(await connection.query(CompiledQuery.raw("select from numbers"))).to.eql([]);
    });
  });

  it("replaces a connection that broke while it was idle, and logs why", async () => {
    await use((connection) => connection.execute("select 1"));
    await store().admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lone'",
    );
    await until(() => pool.stats().open === 0);
    expect(messages.join()).to.include("an idle connection broke");
    await use((connection) => connection.execute("select 1"));
  });

  it("refuses at once when as many callers wait as may", async () => {
    const connection = await pool.acquire();
    const waiting = pool.acquire();
    expect(pool.isSaturated).to.equal(true);
    expect(pool.stats()).to.eql({ name: "lone", max: 1, open: 1, idle: 0, waiting: 1 });
    expect(await failureOf(pool.acquire())).to.have.property("reason", "UNAVAILABLE");
    pool.release(connection);
    pool.release(await waiting);
    expect(pool.isSaturated).to.equal(false);
    expect(waits).to.eql(["lone", "lone", "lone"]);
  });

  it("lets no transaction be acknowledged in which a statement failed, though its work ignores that", async () => {
    const executor = new SqlExecutor(pool);
    const ignoring = executor.transaction(async (run) => {
      await run(sql`select 1 / 0`).catch(() => {});
    });
    expect(await failureOf(ignoring)).to.have.property("code", "22012");
  });
});
