import { expect } from "chai";
import pg from "pg";
import { PreparedClient } from "../../src/store/prepared-client.ts";
import { StatementNames } from "../../src/store/statement-names.ts";
import { postgresUrl } from "../support/cluster.ts";
import { type PgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { programOrSkip } from "../support/programs.ts";

describe("prepared statements behind PgBouncer in transaction mode", () => {
  let pooler: PgBouncer;
  const clients: pg.Client[] = [];

  before(async function () {
    const program = programOrSkip(this, "pgbouncer");
    const url = (await postgresUrl()) ?? this.skip();
    pooler = await startPgBouncer({ program, mode: "transaction", url });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end();
  });
  after(() => pooler?.stop());

  async function connected<Client extends pg.Client>(client: Client): Promise<Client> {
    clients.push(client);
    await client.connect();
    return client;
  }

  interface Stored {
    readonly kind: string;
    readonly target: number;
  }

  /** Stores as two clients do, in turns on two connections to the server; returns what was acknowledged and stored. */
  async function store(name: string, names: () => StatementNames) {
    const client = () =>
      connected(new PreparedClient({ connectionString: pooler.url, statementNames: names() }) as pg.Client);
    const [blocking, muting] = [await client(), await client()];
    const holder = await connected(new pg.Client(pooler.url));
    await holder.query(`create table ${name} (kind text, target int)`);
    const acknowledged: Stored[] = [];
    const add = (client: pg.Client, kind: string, target: number) =>
      client.query(`insert into ${name} values ('${kind}', $1)`, [target]).then(
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

  it("do so when they are numbered", async () => {
    class Numbers extends StatementNames {
      override nameOf = () => "s0";
    }
    const { acknowledged, stored } = await store("by_number", () => new Numbers());
    expect(stored).not.to.eql(acknowledged);
  });
});
