import { expect } from "chai";
import { CompiledQuery } from "kysely";
import pg from "pg";
import { ConnectionTarget, parseDatabaseUrl } from "../../src/store/connection-target.ts";
import { type PgConnection, PgPool, StatementNames } from "../../src/store/pg-pool.ts";
import { postgresUrl } from "../support/cluster.ts";
import { type PgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { programOrSkip } from "../support/programs.ts";

describe("prepared statements behind PgBouncer in transaction mode", () => {
  let pooler: PgBouncer;
  const opened: (() => Promise<void>)[] = [];

  before(async function () {
    const program = programOrSkip(this, "pgbouncer");
    const url = (await postgresUrl()) ?? this.skip();
    pooler = await startPgBouncer({ program, mode: "transaction", url });
  });
  afterEach(async () => {
    for (const close of opened.splice(0)) await close();
  });
  after(() => pooler?.stop());

  /** A connection of the service to the pooler. */
  async function connect(statementNames: StatementNames): Promise<PgConnection> {
    const pool = new PgPool({
      ...{ name: "lone", maxConnections: 1, acquireTimeoutMs: 1_000, maxWaiting: 0 },
      target: new ConnectionTarget(parseDatabaseUrl(pooler.url), () => {}),
      ...{ client: {}, statementNames, log: () => {} },
    });
    const connection = await pool.acquire();
    opened.push(() => {
      pool.release(connection);
      return pool.close();
    });
    return connection;
  }

  interface Stored {
    readonly kind: string;
    readonly target: number;
  }

  /** Stores as two clients do, in turns on two connections to the server; returns what was acknowledged and stored. */
  async function store(name: string, names: () => StatementNames) {
    const [blocking, muting] = [await connect(names()), await connect(names())];
    const holder = new pg.Client(pooler.url);
    await holder.connect();
    opened.push(() => holder.end());
    await holder.query(`create table ${name} (kind text, target int)`);
    const acknowledged: Stored[] = [];
    const add = (connection: PgConnection, kind: string, target: number) =>
      connection.query(CompiledQuery.raw(`insert into ${name} values ('${kind}', $1)`, [target])).then(
        () => acknowledged.push({ kind, target }),
        () => {},
      );

    // Prepared on one connection, which then is taken, so that the other client prepares on a second.
    await add(blocking, "block", 1);
    await holder.query("begin");
    await add(muting, "mute", 2);
    await add(blocking, "block", 3);
    await holder.query("rollback");
    const { rows } = await holder.query<Stored>(`select kind, target from ${name} order by target`);
    return { acknowledged, stored: rows };
  }

  it("never run as another statement than the one that was sent", async () => {
    const { acknowledged, stored } = await store("by_hash", () => new StatementNames());
    expect(stored).to.eql(acknowledged);
    expect(stored.length).to.be.at.least(2);
  });

  it("would run as another one if they were numbered", async () => {
    class Numbers extends StatementNames {
      override nameOf = () => "s0";
    }
    const { acknowledged, stored } = await store("by_number", () => new Numbers());
    expect(stored).not.to.eql(acknowledged);
  });
});
