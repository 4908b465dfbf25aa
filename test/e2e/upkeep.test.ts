import { expect } from "chai";
import { sql } from "kysely";
import { embedded, postgresql } from "../support/backends.ts";
import { OpenedBackend } from "../support/opened-backend.ts";
import { startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const ann = "a11ce000-0000-4000-8000-000000000001";
const bob = "b0b00000-0000-4000-8000-000000000002";

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`the upkeep of a service on ${backend}`, () => {
    const opened = new OpenedBackend();
    let service: TestService;
    before(async function () {
      service = await startService(await databaseUrl(this), {}, async (options) => {
        const database = await opened.open(options);
        await database.migrate();
        // There from the start: what is not urgent is looked for once a minute.
        await opened.run(sql`insert into users values (${ann}, 'someone', '', '', '{}', false)`);
        await opened.run(sql`
          insert into idempotency_keys (actor_id, key, request, created_at)
          values (${ann}, 'old', '', now() - interval '1 day'), (${ann}, 'new', '', now() - interval '23 hours')`);
        return database;
      });
      await service.graph.upsertUsers(
        { users: [ann, bob].map((id) => ({ id, userName: "someone" })) },
        await service.acting(),
      );
    });
    after(() => service?.stop(1_000));

    it("deletes what has ended", async () => {
      await opened.run(sql`insert into blocks values (${ann}, ${bob}, gen_random_uuid(), now(), now())`);
      await until(async () => (await opened.run(sql`select from blocks`)).length === 0);
      const [change] = await opened.run(
        sql`select cause, present from changes where kind = 'block' and not present`,
      );
      expect(change).to.eql({ cause: "expiry", present: false });
    });

    it("deletes idempotency keys that are older than a day", async () => {
      const keys = () => opened.run(sql<{ key: string }>`select key from idempotency_keys`);
      await until(async () => (await keys()).length === 1);
      expect(await keys()).to.eql([{ key: "new" }]);
    });

    it("completes an erasure that was begun", async () => {
      await opened.run(sql`update users set erased_at = now() where id = ${bob}`);
      await until(async () => (await opened.run(sql`select from users where id = ${bob}`)).length === 0);
    });

    it("writes nothing when there is nothing to do", async () => {
      const { sent } = opened;
      const isIdle = async () => {
        const from = sent.length;
        // More than every frequent job sends in one round.
        await until(() => sent.length > from + 10);
        return !sent.slice(from).includes("begin");
      };
      await until(isIdle);
    });
  });
}
