import { expect } from "chai";
import { sql } from "kysely";
import pg from "pg";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { makeRoles, type RoleUrls } from "../support/roles.ts";
import { startService } from "../support/service.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { describeStore } from "./suite/index.ts";
import { failureOf, type TestStore, testStore } from "./suite/store.ts";

const serviceRole = "privacy_control_service";
const denied = "42501";

/** A busy machine must not refuse what the suite asks for at once. */
const poolLimits = { acquireTimeoutMs: 60_000 };

describe("the roles of deploy/sql/roles.sql", () => {
  // A server of its own: roles belong to all of its databases.
  let server: ThrowawayServer;
  let roles: RoleUrls;
  let owner: TestStore;
  let store: TestStore;
  let service: pg.Client;
  before(async function () {
    if (!canStartServer()) return this.skip();
    server = await startThrowawayServer();
    roles = makeRoles(server.url);
    owner = testStore(await openPostgresql(roles.owner, () => {}, { serviceRole }));
    await owner.migrate();
    // The suite looks past the store's methods, and migrates, with rights that the service lacks.
    const { migrate, query: past } = owner;
    store = {
      ...testStore(await openPostgresql(roles.service, () => {}, { poolLimits })),
      migrate,
      query: past,
    };
    service = new pg.Client({ connectionString: roles.service });
    await service.connect();
    await query(server.url, "create schema accounts; create table accounts.passwords (id int)");
    await query(server.url, "create table of_another (id int)");
  });
  after(async () => {
    await service?.end();
    await store?.close();
    await owner?.close();
    await server?.stop();
  });

  describe("let the service", () => {
    describeStore(() => store);

    it("start in production", async () => {
      const started = await startService(roles.service, { production: true });
      const { status } = await fetch(`${started.publicUrl}/readyz`);
      await started.stop(1_000);
      expect(status).to.equal(200);
    });

    it("cancel its own statements", async () => {
      const { rows } = await service.query("select pg_backend_pid() as pid");
      const outcome = failureOf(service.query("select pg_sleep(60)"));
      const cancel = `select pg_cancel_backend(pid) as sent from pg_stat_activity
        where pid = ${rows[0].pid} and state = 'active'`;
      // One that overtakes the statement would be lost.
      let cancelled: unknown;
      while (cancelled === undefined) [cancelled] = await query(roles.service, cancel);
      expect(cancelled).to.eql({ sent: true });
      expect(await outcome).to.have.property("code", "57014");
    });
  });

  describe("keep the service from", () => {
    for (const statement of [
      "create table mine (id int)",
      "create temporary table mine (id int)",
      "create schema mine",
      "create function mine() returns int language sql as 'select 1'",
      "create role mine",
      "create database mine",
      "create extension file_fdw",
      "alter table users add column mine int",
      "alter table blocks disable trigger all",
      "create index on users (user_name)",
      "drop table mutes",
      "truncate imports",
      "truncate service_imports",
      "update changes set present = false",
      "update ticks set nonce = gen_random_uuid()",
      "truncate changes",
      "update mutes set muted_id = muter_id",
      "update follows set created_at = now()",
      "update blocks set blocked_id = blocker_id",
      "update mutes set muted_id = muter_id",
      "update follows set followee_id = follower_id",
      "update idempotency_keys set actor_id = target_id",
      "truncate idempotency_keys",
      "update privacy_exceptions set setting = 'groups'",
      "delete from privacy_settings",
      "delete from imports",
      "delete from service_imports",
      "insert into migrations (name) values ('9999')",
      "delete from migrations",
      "insert into signing_keys values (2, '')",
      "update signing_keys set key = ''",
      "delete from signing_keys",
      "select * from accounts.passwords",
      "select * from of_another",
      "select * from pg_authid",
      "select pg_read_file('/etc/passwd')",
      "copy users to program 'cat'",
      "set role privacy_control_owner",
      "set session_replication_role = replica",
    ]) {
      it(statement, async () => {
        const failure = await failureOf(service.query(statement));
        expect(failure).to.have.property("code", denied);
      });
    }
  });

  it("grant nothing on a table beyond what is listed, on later tables too", async () => {
    const tables = await owner.query(sql<{ name: string; verbs: string[] }>`
      select t.tablename as name, array(
        select verb from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) verb
        where has_table_privilege(${serviceRole}, t.tablename::regclass, verb)
      ) as verbs
      from pg_tables t where schemaname = 'public' and tableowner = current_user order by 1`);
    expect(Object.fromEntries(tables.map(({ name, verbs }) => [name, verbs.join(" ")]))).to.eql({
      blocks: "select insert delete",
      changes: "select insert delete",
      erasures: "select insert update delete",
      follows: "select insert delete",
      idempotency_keys: "select insert delete",
      imports: "select insert update",
      migrations: "select",
      mutes: "select insert delete",
      privacy_exceptions: "select insert delete",
      privacy_settings: "select insert update",
      service_imports: "select insert update",
      signing_keys: "select",
      ticks: "select insert delete",
      users: "select insert update delete",
    });
  });

  it("revoke rights that the service no longer needs", async () => {
    await owner.query(sql`grant truncate, update on blocks to privacy_control_service`);
    await owner.migrate();
    expect(await failureOf(service.query("truncate blocks"))).to.have.property("code", denied);
  });

  it("must differ from the migrating role", async () => {
    const self = testStore(
      await openPostgresql(roles.owner, () => {}, { serviceRole: "privacy_control_owner" }),
    );
    try {
      expect(await failureOf(self.migrate())).to.match(/DATABASE_SERVICE_ROLE must name another role/);
    } finally {
      await self.close();
    }
  });

  it("can be granted again, and exclude all other roles", async () => {
    expect(makeRoles(server.url)).to.eql(roles);
    await query(server.url, "create role stranger login");
    const rows = await query(
      server.url,
      `select has_database_privilege('stranger', current_database(), 'connect') as connects, count(*)::int
        from pg_authid where rolpassword like 'SCRAM%'`,
    );
    expect(rows).to.eql([{ connects: false, count: 2 }]);
  });
});

/** Runs one statement on a connection of its own. */
async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}
