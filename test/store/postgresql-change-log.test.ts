import { expect } from "chai";
import pg from "pg";
import type { UserId } from "../../src/domain/users.ts";
import type { Tick } from "../../src/store/change-log.ts";
import type { Database } from "../../src/store/database.ts";
import { postgresUrl } from "../support/cluster.ts";
import { type RowsRead, rowsRead } from "../support/rows-read.ts";
import { statementsOf } from "../support/statements.ts";
import { changesBetween, forcedTick } from "./suite/changes.ts";
import { onPostgresql } from "./suite/postgresql.ts";

const modes = ["force_custom_plan", "force_generic_plan"] as const;

describe("the change log on PostgreSQL", () => {
  const store = onPostgresql();
  let [ann, bob, carl]: UserId[] = [];
  before(async () => {
    [ann, bob, carl] = await store().newUsers(3);
  });
  const three = () => [ann, bob, carl] as [UserId, UserId, UserId];

  /** What each statement of an operation reads, on a new connection. `which`: those that count. */
  async function readBy(
    run: (database: Database) => Promise<unknown>,
    which = /\bfrom\b/,
  ): Promise<RowsRead[]> {
    const sent = await statementsOf(store().url, run);
    const read: RowsRead[] = [];
    for (const statement of sent.filter(({ sql }) => which.test(sql)))
      for (const mode of modes) read.push(await rowsRead(store().admin, statement, mode));
    expect(read).to.not.eql([]);
    return read;
  }
  const most = (read: readonly RowsRead[]) => Math.max(...read.map(({ rows }) => rows));

  it("tells of a transaction in the batch in which it was committed, as a whole", async () => {
    const [ann, bob, carl] = three();
    const first = await forcedTick(store());
    await store().admin.query(`begin; insert into follows values ('${ann}', '${bob}', now())`);
    await store().follows.follow(ann, carl);
    const second = await forcedTick(store());
    await store().admin.query(`insert into follows values ('${bob}', '${carl}', now())`);
    const third = await forcedTick(store());
    await store().admin.query("commit");
    const fourth = await forcedTick(store());
    const targets = async (from: Tick, to: Tick) =>
      (await changesBetween(store(), from, to, 1)).map((change) => "target" in change && change.target);
    expect(await targets(first, second)).to.eql([carl]);
    expect(await targets(second, third)).to.eql([]);
    expect(await targets(third, fourth)).to.eql([bob, carl]);
    for (const limit of [1, 100]) {
      const versions = (await changesBetween(store(), first, fourth, limit)).map(({ version }) => version);
      expect(versions).to.have.length(3);
      expect(versions).to.eql(versions.toSorted((a, b) => Number(a - b)));
    }
    expect((await store().changes.ticksAfter(fourth, 1)).through > fourth.at).to.equal(true);
  });

  it("has ticks of the present run of the server by the previous version, and of no run by earlier ones", async () => {
    const { server } = await forcedTick(store());
    const stored = async (columns: string, values: string) => {
      await store().admin.query(
        `insert into ticks (id, snapshot, at${columns}) select max(id) + 1, pg_current_snapshot(), now()${values} from ticks`,
      );
      return (await store().changes.newestTick()).server;
    };
    expect(await stored("", "")).to.equal(server);
    expect(await stored(", statistics_reset_at", ", null")).not.to.equal(server);
  });

  it("is pending when a transaction that ran at the newest tick is committed", async () => {
    const [ann, bob] = three();
    await store().admin.query(
      `begin; insert into mutes values ('${ann}', '${bob}', gen_random_uuid(), now())`,
    );
    // So that the transaction is among those that the tick lists as running.
    await store().follows.follow(bob, ann);
    const tick = await forcedTick(store());
    expect(tick.snapshot).to.match(/\d$/);
    expect((await store().changes.ticksAfter(tick, 1)).through > tick.at).to.equal(true);
    await store().admin.query("commit");
    expect((await store().changes.ticksAfter(tick, 1)).through).to.equal(tick.at);
  });

  it("keeps what a transaction changed that ran when the oldest tick to keep was stored", async () => {
    const [ann, bob, carl] = three();
    const writer = new pg.Client({ connectionString: store().url });
    await writer.connect();
    await writer.query(`begin; insert into follows values ('${carl}', '${ann}', now())`);
    await store().follows.unfollow(ann, bob);
    const kept = await forcedTick(store());
    await store().admin.query("update ticks set at = at - interval '80 hours'");
    await writer.query("commit");
    await writer.end();
    const recent = await forcedTick(store());
    while (await store().changeLogUpkeep.retain(72));
    const changes = await changesBetween(store(), kept, recent);
    expect(changes.map(({ owner }) => owner)).to.eql([carl]);
  });

  it("begins a new history when a table is truncated while a tick is stored", async () => {
    const tick = await forcedTick(store());
    await store().admin.query("begin; truncate privacy_exceptions");
    const next = forcedTick(store());
    await store().untilWaiting(1);
    await store().admin.query("commit");
    expect(await next).to.have.property("id", 1n);
    expect((await next).nonce).to.not.equal(tick.nonce);
  });

  describe("while a transaction of another database is open", () => {
    let other: pg.Client;
    beforeEach(async () => {
      other = new pg.Client({ connectionString: await postgresUrl() });
      await other.connect();
      await other.query("begin; select pg_current_xact_id()");
    });
    afterEach(() => other.end());

    it("goes on, and reads no more for each batch", async () => {
      const [ann, bob] = three();
      const counts: number[] = [];
      let from = await forcedTick(store());
      for (let round = 0; round < 40; round++) {
        await store().blocks.block(ann, bob);
        await store().blocks.unblock(ann, bob);
        const to = await forcedTick(store());
        expect(await changesBetween(store(), from, to)).to.have.length.within(2, 4);
        // The other transaction holds the whole time.
        expect(to.snapshot).to.match(/\d$/);
        const [begin, end] = [from, to];
        if (round % 13 === 0)
          counts.push(most(await readBy(({ changes }) => changes.read(begin, end, 0n, 100))));
        from = to;
      }
      expect(counts).to.have.length(4);
      for (const count of counts) expect(count).to.be.at.most(10);
    });
  });

  describe("with very many rows", () => {
    const rows = 60_000;
    let giant: { readonly from: Tick; readonly to: Tick };
    before(async function () {
      this.timeout(120_000);
      const { admin } = store();
      await admin.query(`
        do $$ begin
          for i in 1..1000 loop
            insert into changes (kind, owner, present)
            select 'user', gen_random_uuid(), true from generate_series(1, 20);
            commit;
          end loop;
        end $$`);
      await admin.query(
        "insert into ticks (id, snapshot) select id, '3:3:' from generate_series(-20000, 0) id",
      );
      const from = await forcedTick(store());
      await admin.query(`
        with crowd as (
          insert into users select gen_random_uuid(), 'crowd', '', '', '{}', false from generate_series(1, ${rows})
          returning id
        )
        insert into follows select '${ann}', id, now() from crowd`);
      giant = { from, to: await forcedTick(store()) };
      for (const table of ["blocks", "mutes"])
        await admin.query(`insert into ${table} select '${ann}', id, gen_random_uuid(), now() from users
          where user_name = 'crowd'`);
      await admin.query(`insert into privacy_exceptions select '${ann}', 'groups', id, now() from users
        where user_name = 'crowd'`);
      await admin.query(`insert into privacy_settings select id, 'groups', 'all' from users
        where user_name = 'crowd'`);
      await forcedTick(store());
      await admin.query("analyze");
    });

    const bounds: Record<string, [most: number, run: (database: Database) => Promise<unknown>]> = {
      "a tick": [40, ({ changes }) => changes.tick()],
      "a forced tick": [40, ({ changes }) => changes.tick({ force: true })],
      "a look for news": [
        40,
        async ({ changes }) => {
          const newest = await changes.newestTick();
          await changes.tick();
          await changes.tick();
          await changes.ticksAfter(newest, 10);
        },
      ],
      "a small batch": [
        60,
        async ({ changes }) => {
          const from = await forcedTick(store());
          await store().follows.unfollow(bob as UserId, ann as UserId);
          await changes.read(from, await forcedTick(store()), 0n, 1_000);
        },
      ],
      "the first page of a batch": [25_000, ({ changes }) => changes.read(giant.from, giant.to, 0n, 100)],
      "later pages of a batch": [
        1_000,
        async ({ changes }) => {
          const [last] = (await store().changes.read(giant.from, giant.to, 0n, 100)).slice(-1);
          await changes.read(giant.from, giant.to, last?.version ?? 0n, 100);
          await changes.read(giant.from, giant.to, (last?.version ?? 0n) + 50_000n, 100);
        },
      ],
      "the first page of each table of the state": [
        300,
        async ({ changes }) => {
          for (let table = 0; table < 6; table++) await changes.readState({ table, key: [] }, 100);
        },
      ],
      "a later page of each table of the state": [
        300,
        async ({ changes }) => {
          for (let table = 0; table < 6; table++) {
            const { next } = await store().changes.readState({ table, key: [] }, 100);
            if (next === undefined) throw new Error("a table has one page only");
            await changes.readState(next, 100);
          }
        },
      ],
      "retention without anything to delete": [40, ({ changeLogUpkeep }) => changeLogUpkeep.retain(8_760)],
    };
    for (const [name, [bound, run]] of Object.entries(bounds)) {
      it(`reads few of them: ${name}`, async () => {
        for (const { rows, scanned } of await readBy(run)) {
          expect(scanned.filter((table) => table !== "erasures")).to.eql([]);
          expect(rows).to.be.at.most(bound);
        }
      });
    }

    it("reads all of a large transaction, in order", async () => {
      const versions = (await changesBetween(store(), giant.from, giant.to, 5_000)).map(
        ({ version }) => version,
      );
      // Users and follows.
      expect(versions).to.have.length(2 * rows);
      for (const [n, version] of versions.entries())
        if (n > 0 && version <= (versions[n - 1] as bigint)) expect.fail(`${version} is not in order`);
    });

    it("reads no rows of a transaction that runs to find news", async () => {
      const newest = await forcedTick(store());
      const writer = new pg.Client({ connectionString: store().url });
      await writer.connect();
      await writer.query(`begin; insert into changes (kind, owner, present)
        select 'user', gen_random_uuid(), true from generate_series(1, ${rows})`);
      try {
        const look = async ({ changes }: Database) => {
          await changes.tick();
          await changes.tick();
          await changes.ticksAfter(newest, 1);
        };
        for (const { pages } of await readBy(look, /is_due|is_pending/)) expect(pages).to.be.below(100);
        // The transaction that runs is no longer the newest one.
        await forcedTick(store());
        await store().follows.unfollow(bob as UserId, ann as UserId);
        await store().admin.query("select pg_current_xact_id()");
        await forcedTick(store());
        for (const { pages } of await readBy(look, /is_due|is_pending/)) expect(pages).to.be.below(100);
      } finally {
        await writer.end();
      }
    });

    it("deletes by indexes what is old", async () => {
      await store().admin.query("update ticks set at = at - interval '10 years'");
      const read = await readBy(({ changeLogUpkeep }) => changeLogUpkeep.retain(8_760));
      for (const { scanned } of read) expect(scanned).to.eql([]);
      expect(most(read)).to.be.at.most(100_000);
    });
  });
});
