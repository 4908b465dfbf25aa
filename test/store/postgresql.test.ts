import { MikroORM } from "@mikro-orm/postgresql";
import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
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

  it("sets the application name of every connection", async () => {
    const [viewer, owner] = (await store().newUsers(2)) as [UserId, UserId];
    await store().relationshipFacts.read([{ viewer, owner, muteScope: 1, setting: null }]);
    const { rows } = await store().admin.query(`
      select distinct application_name from pg_stat_activity
      where datname = current_database() and query ~ 'from (blocks|users)' and pid <> pg_backend_pid()`);
    expect(rows).to.eql([{ application_name: "privacy-control" }]);
  });
});
