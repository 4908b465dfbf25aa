import { expect } from "chai";
import type pg from "pg";
import { PreparedClient } from "../../src/store/prepared-client.ts";
import { postgresUrl } from "../support/cluster.ts";
import { until } from "../support/until.ts";

/** With the types of what it overrides. */
type Client = pg.Client & Pick<PreparedClient, "queryAll">;

describe("the prepared client", () => {
  let client: Client;
  let url: string | undefined;
  beforeEach(async function () {
    url = await postgresUrl();
    if (url === undefined) return this.skip();
    client = new PreparedClient({ connectionString: url });
    await client.connect();
  });
  afterEach(() => client?.end());

  async function prepared(): Promise<string[]> {
    const { rows } = await client.query("select statement from pg_prepared_statements");
    return rows.map(({ statement }) => statement);
  }

  it("prepares a statement with values once", async () => {
    for (let i = 0; i < 3; i++) {
      const { rows } = await client.query("select $1::int as n", [i]);
      expect(rows).to.eql([{ n: i }]);
    }
    expect(await prepared()).to.eql(["select $1::int as n"]);
  });

  it("prepares no statement without values", async () => {
    await client.query("select 1");
    await client.query("select 2", []);
    expect(await prepared()).to.eql([]);
  });

  it("prepares no more than 500", async () => {
    for (let i = 0; i < 520; i++) await client.query(`select $1::int + ${i}`, [1]);
    expect(await prepared()).to.have.length(500);
  });

  it("continues after a failed statement", async () => {
    for (let i = 0; i < 2; i++) {
      const failure = await client
        .query("select 1 / $1::int", [0])
        .catch((failure: Error) => failure.message);
      expect(failure).to.equal("division by zero");
    }
    await client.query("select 1");
  });

  describe("in one exchange", () => {
    const ask = (text: string, ...values: unknown[]) => ({ text, values });
    const failureOf = (work: Promise<unknown>) =>
      work.then(
        () => "none",
        ({ message }: Error) => message,
      );

    it("runs each statement when the one before has ended", async () => {
      await client.query("create temporary table numbers (n int)");
      for (let round = 0; round < 2; round++) {
        const results = await client.queryAll([
          ask("begin"),
          ask("insert into numbers select n from generate_series(1, $1::int) n", 3),
          ask("select count(*)::int as count, $1::text as word from numbers", "x"),
          ask("rollback"),
        ]);
        expect(results.map(({ command }) => command)).to.eql(["BEGIN", "INSERT", "SELECT", "ROLLBACK"]);
        expect(results.map(({ rows }) => rows)).to.eql([[], [], [{ count: 3, word: "x" }], []]);
      }
      expect((await client.query("select from numbers")).rows).to.eql([]);
    });

    it("sees in each statement everything committed before it began", async () => {
      const other = new PreparedClient({ connectionString: url }) as pg.Client;
      await other.connect();
      try {
        await other.query("create table seen (n int)");
        await other.query("begin");
        await other.query("select pg_advisory_xact_lock(7)");
        await other.query("insert into seen values (1)");
        const results = client.queryAll([
          ask("begin isolation level read committed"),
          ask("select pg_advisory_xact_lock($1)", 7),
          ask("select n from seen"),
        ]);
        await until(async () => {
          const { rows } = await other.query(
            "select from pg_locks where locktype = 'advisory' and not granted",
          );
          return rows.length === 1;
        });
        await other.query("commit");
        expect((await results).at(-1)?.rows).to.eql([{ n: 1 }]);
      } finally {
        await other.end();
        await client.query("rollback");
        await client.query("drop table if exists seen");
      }
    });

    it("skips the statements after a failed one, and continues with the next batch", async () => {
      await client.query("create temporary table numbers (n int)");
      const add = ask("insert into numbers values ($1)", 1);
      for (let round = 0; round < 2; round++) {
        const failed = client.queryAll([ask("select 1 / $1::int", 0), add, ask("select $1::int + 1", 1)]);
        expect(await failureOf(failed)).to.equal("division by zero");
      }
      expect((await client.query("select from numbers")).rows).to.eql([]);
      await client.queryAll([add, ask("select $1::int + 1", 1)]);
      expect((await client.query("select n from numbers")).rows).to.eql([{ n: 1 }]);
    });

    for (const [why, text] of [
      ["is wrong", "begin isolation level nonsense"],
      ["is refused", "begin isolation level read committed"],
    ] as const) {
      it(`stores nothing when its begin ${why}, not even by a transaction of its own`, async () => {
        const other = new PreparedClient({ connectionString: url }) as pg.Client;
        await other.connect();
        try {
          await other.query("create table stored (n int)");
          if (why === "is refused") {
            // In a transaction that has failed no other one can begin.
            await client.query("begin");
            await failureOf(client.query("select 1 / 0"));
          }
          const failure = await failureOf(
            client.queryAll([
              ask(text),
              ask("select pg_advisory_xact_lock($1)", 8),
              ask("insert into stored values ($1)", 1),
            ]),
          );
          expect(failure).not.to.equal("none");
          await client.query("commit").catch(() => {});
          expect((await other.query("select from stored")).rows).to.eql([]);
        } finally {
          await other.query("drop table stored");
          await other.end();
        }
      });
    }

    it("rejects when its connection is lost", async () => {
      const failure = failureOf(
        client.queryAll([ask("begin"), ask("select pg_terminate_backend(pg_backend_pid())")]),
      );
      expect(await failure).to.include("terminat");
    });
  });

  it("survives the loss of its connection while idle", () => {
    expect(new PreparedClient().emit("error", new Error("lost"))).to.equal(true);
  });
});
