import { expect } from "chai";
import type pg from "pg";
import { PreparedClient } from "../../src/store/prepared-client.ts";
import { postgresUrl } from "../support/cluster.ts";

describe("the prepared client", () => {
  let client: pg.Client;
  beforeEach(async function () {
    const url = await postgresUrl();
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

  it("prepares nothing without values", async () => {
    await client.query("select 1");
    await client.query("select 2", []);
    expect(await prepared()).to.eql([]);
  });

  it("prepares no more than 500", async () => {
    for (let i = 0; i < 520; i++) await client.query(`select $1::int + ${i}`, [1]);
    expect(await prepared()).to.have.length(500);
  });

  it("goes on after a statement that failed", async () => {
    for (let i = 0; i < 2; i++) {
      const failure = await client
        .query("select 1 / $1::int", [0])
        .catch((failure: Error) => failure.message);
      expect(failure).to.equal("division by zero");
    }
    await client.query("select 1");
  });

  it("survives the loss of its connection while nobody listens", () => {
    expect(new PreparedClient().emit("error", new Error("lost"))).to.equal(true);
  });
});
