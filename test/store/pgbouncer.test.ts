import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { killServer } from "../resilience/support/server-faults.ts";
import { type PgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { programOrSkip } from "../support/programs.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { withParameters } from "./suite/postgresql.ts";
import { failureOf, type TestStore, testStore } from "./suite/store.ts";

const settings = ["default_pool_size = 40", "server_login_retry = 1"];
const ignoring =
  "ignore_startup_parameters = options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout";

for (const mode of ["session", "transaction"] as const) {
  describe(`PostgreSQL behind PgBouncer in ${mode} mode`, function () {
    this.timeout(60_000);
    let server: ThrowawayServer;
    let pooler: PgBouncer;
    let store: TestStore;
    let [ann, bob]: UserId[] = [];
    const warnings: string[] = [];

    before(async function () {
      if (!canStartServer()) return this.skip();
      const program = programOrSkip(this, "pgbouncer");
      server = await startThrowawayServer();
      pooler = await startPgBouncer({ program, mode, url: server.url, settings });
      store = testStore(await open(pooler.url, warnings));
      await store.migrate();
    });
    after(async () => {
      await store?.close();
      await pooler?.stop();
      await server?.stop();
    });
    beforeEach(async () => {
      [ann, bob] = await store.newUsers(2);
    });

    const open = (url: string, into: string[]) =>
      openPostgresql(url, () => {}, {
        preparedStatements: mode === "session",
        warn: (message) => into.push(message),
        poolLimits: { acquireTimeoutMs: 60_000 },
      });
    const check = () =>
      store.relationshipFacts.read([
        { viewer: ann as UserId, owner: bob as UserId, muteScope: 1, setting: null },
      ]);

    it("is migrated, and warns of the settings that did not reach the server", async () => {
      await store.assertMigrated();
      const said = warnings.join("\n");
      for (const setting of ["statement_timeout = 5000", "lock_timeout = 3000", "random_page_cost = 1"])
        expect(said.split(setting), setting).to.have.length(2);
      expect(said).to.match(/alter role/);
    });

    it("warns too when the pooler drops settings without a word", async function () {
      const program = programOrSkip(this, "pgbouncer");
      const dropping = await startPgBouncer({
        program,
        mode,
        url: server.url,
        settings: [...settings, ignoring],
      });
      const heard: string[] = [];
      const other = testStore(await open(dropping.url, heard));
      await other.ping();
      await other.close();
      await dropping.stop();
      expect(heard.join()).to.match(/random_page_cost = 1/);
    });

    it("refuses a search_path that did not reach the server", async () => {
      const elsewhere = withParameters(pooler.url, { options: "-c search_path=elsewhere" });
      const other = testStore(await open(elsewhere, []));
      const { cause } = (await failureOf(other.ping())) as Error;
      await other.close();
      expect((cause as Error).message).to.match(/search_path/);
    });

    it("serves many callers at once, each with its own statement", async () => {
      const people = await store.newUsers(30);
      await Promise.all(
        people.map(async (person, i) => {
          if (i % 2 === 0) await store.blocks.block(person, ann as UserId);
          else await store.mutes.mute(person, ann as UserId);
        }),
      );
      for (const [i, person] of people.entries()) {
        expect(await store.blocks.list(person, 5)).to.have.length(i % 2 === 0 ? 1 : 0);
        expect(await store.mutes.list(person, 5)).to.have.length(i % 2 === 0 ? 0 : 1);
      }
      await store.blocks.block(ann as UserId, bob as UserId);
      expect((await check())[0]?.blocking).to.equal(true);
    });

    it("cancels statements", async () => {
      const controller = new AbortController();
      const query = () =>
        store.query(
          sql`select from pg_stat_activity where query like '%sleep(30)%' and state = 'active' and pid <> pg_backend_pid()`,
        );
      const backend = await open(pooler.url, []);
      const call = failureOf(backend.executor.read(sql`select pg_sleep(30)`, controller.signal));
      await until(async () => (await query()).length === 1);
      controller.abort(new Error("the caller disconnected"));
      expect(String(await call)).to.equal("Error: the caller disconnected");
      await until(async () => (await query()).length === 0);
      await backend.close();
    });

    it("is back after an outage of the server", async () => {
      await killServer(server);
      await failureOf(store.ping());
      await server.restart();
      const restarted = performance.now();
      await until(() =>
        store.ping().then(
          () => true,
          () => false,
        ),
      );
      await check();
      // Without `server_login_retry` it is 15 s. The machine may have much else to do.
      expect(performance.now() - restarted).to.be.below(12_000);
    });
  });
}
