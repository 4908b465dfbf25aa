import { MikroORM } from "@mikro-orm/postgresql";
import { expect } from "chai";
import { sql } from "kysely";
import { ormOptions } from "../../src/store/migrations/migrate.ts";
import { describeStore } from "./suite/index.ts";
import { onPostgresql } from "./suite/postgresql.ts";

describe("the store on PostgreSQL", () => {
  const store = onPostgresql();

  describeStore(store);

  it("has the schema that the entities describe", async () => {
    const orm = await MikroORM.init({ ...ormOptions(() => {}), clientUrl: store().url });
    try {
      expect(await orm.schema.getUpdateSchemaSQL()).to.equal("");
    } finally {
      await orm.close();
    }
  });

  it("describes itself without credentials", () => {
    expect(store().describe()).to.match(/^[\w.]+:\d+\/\w+$/);
  });

  it("sets the server's timeouts and the application name", async () => {
    // The lock timeout of the session: the first attempt of a transaction waits less.
    const [row] = await store().query(sql`
      select current_setting('statement_timeout') as statement,
        (select reset_val || unit from pg_settings where name = 'lock_timeout') as lock,
        current_setting('idle_in_transaction_session_timeout') as idle,
        current_setting('application_name') as application`);
    expect(row).to.eql({ statement: "5s", lock: "3000ms", idle: "10s", application: "privacy-control" });
  });
});
