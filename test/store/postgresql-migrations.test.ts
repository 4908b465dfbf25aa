import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { migrationsList } from "../../src/store/migrations/list.ts";
import { postgresUrl } from "../support/cluster.ts";
import { malformedRecord } from "./suite/imports.ts";
import { openPostgresStore, type PostgresStore, withParameters } from "./suite/postgresql.ts";
import { failureOf } from "./suite/store.ts";

const all = migrationsList.map(({ name }) => name);

describe("migrations on PostgreSQL", () => {
  let url: string;
  const open: PostgresStore[] = [];
  beforeEach(async function () {
    const created = await postgresUrl();
    if (created === undefined) return this.skip();
    url = created;
  });
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
  });

  async function instance(parameters: Record<string, string | number> = {}): Promise<PostgresStore> {
    const store = await openPostgresStore(withParameters(url, parameters));
    open.push(store);
    return store;
  }

  it("are applied once by instances that start at the same moment", async () => {
    const stores = await Promise.all(Array.from({ length: 6 }, () => instance()));
    const applied = await Promise.all(stores.map((store) => store.migrate()));
    expect(applied.filter((names) => names.length > 0)).to.eql([all]);
    const keys = await Promise.all(stores.map((store) => store.signingKey()));
    for (const key of keys) expect(key).to.eql(keys[0]);
    for (const store of stores) await store.assertMigrated();
  });

  it("are all applied or none", async () => {
    const store = await instance();
    await store.admin.query("create table privacy_settings ()");
    await failureOf(store.migrate());
    const { rows } = await store.admin.query("select tablename from pg_tables where schemaname = 'public'");
    expect(rows).to.eql([{ tablename: "privacy_settings" }]);
  });

  it("that are pending are named to the operator, and not applied", async () => {
    const store = await instance();
    const failure = await failureOf(store.assertMigrated());
    expect((failure as Error).message).to.match(/0001-initial.*npm run migrate/);
    const { rowCount } = await store.admin.query(
      "select from pg_class where relnamespace = 'public'::regnamespace",
    );
    expect(rowCount).to.equal(0);
  });

  it("keep the imports of the previous version, which may still be running", async () => {
    const store = await instance();
    await store.migrate();
    const id = "99999999-9999-4999-8999-999999999999";
    await store.imports.store({ service: "accounts", id }, 0, [malformedRecord]);
    // As the version before does it.
    await store.admin.query(`insert into imports (id) values ('${id}') on conflict do nothing`);
    const { rows } = await store.admin.query(
      `select records, stored, unchanged, skipped from imports where id = '${id}' for update`,
    );
    expect(rows).to.eql([{ records: "0", stored: "0", unchanged: "0", skipped: {} }]);
    await store.admin.query(`update imports set records = 5, stored = 5 where id = '${id}'`);
    expect((await store.imports.progress({ service: "accounts", id })).records).to.equal(1);
  });

  for (const [what, table] of [
    ["other columns", "create table migrations (version text)"],
    [
      "other names",
      "create table migrations (id serial, name text, executed_at timestamptz); insert into migrations (name) values ('x')",
    ],
  ] as const) {
    it(`do not touch a migrations table of other software with ${what}, and use another schema`, async () => {
      const store = await instance();
      await store.admin.query(`${table}; create schema privacy`);
      for (const failure of [await failureOf(store.migrate()), await failureOf(store.assertMigrated())])
        expect((failure as Error).message).to.match(/"migrations" of the schema "public".*search_path/);
      const apart = await instance({ options: "-c search_path=privacy" });
      expect(await apart.migrate()).to.eql(all);
      await apart.assertMigrated();
      const [ann, bob] = (await apart.newUsers(2)) as [UserId, UserId];
      await apart.blocks.block(ann, bob);
      expect(await apart.blocks.list(ann, 5)).to.have.length(1);
      const { rows } = await store.admin.query("select tablename from pg_tables where schemaname = 'public'");
      expect(rows).to.eql([{ tablename: "migrations" }]);
    });
  }

  it("fail when their connection is lost", async () => {
    const store = await instance();
    await store.migrate();
    await store.admin.query("begin; lock table signing_keys in access exclusive mode");
    const failing = failureOf(store.migrate());
    await store.untilWaiting(1);
    await store.endConnections();
    expect(await failing).to.be.an("error");
  });

  it("wait for each other longer than any statement may take", async () => {
    const [first, second] = [await instance(), await instance({ statement_timeout: 50, lock_timeout: 50 })];
    await first.admin.query("begin; select pg_advisory_xact_lock(7001, 1)");
    const migration = second.migrate();
    await second.untilWaiting(1);
    const sleeping = await failureOf(second.query(sql`select pg_sleep(10)`));
    expect(sleeping).to.have.property("reason", "UNAVAILABLE");
    await first.admin.query("select pg_sleep(0.2); commit");
    expect(await migration).to.eql(all);
  });
});
