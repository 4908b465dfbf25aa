import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../../src/domain/users.ts";
import { changesBetween, forcedTick } from "./changes.ts";
import { failureOf, someUser, type TestStore } from "./store.ts";

const hours = 72;

export function describeChangeLogUpkeep(store: () => TestStore): void {
  /** Makes all ticks so far so many hours older. */
  const age = async (by: number) => {
    const ticks = await store().query(sql<{ id: string; nonce: string; snapshot: string; at: Date }>`
      with gone as (delete from ticks returning id, nonce, snapshot, at)
      select id::text, nonce::text, snapshot::text, at from gone`);
    for (const { id, nonce, snapshot, at } of ticks)
      await store().query(sql`
        insert into ticks (id, nonce, snapshot, at)
        values (${id}, ${nonce}, ${snapshot}::pg_snapshot, ${at}::timestamptz - ${by} * interval '1 hour')`);
  };
  /** Stores a tick while no transaction runs, in no database of the server: the changes before it can be deleted. */
  const quietTick = async () => {
    for (;;) {
      const tick = await forcedTick(store());
      if (tick.snapshot.endsWith(":")) return tick;
    }
  };
  const retainAll = async () => {
    while (await store().changeLogUpkeep.retain(hours));
  };
  const scrubAll = async () => {
    while (await store().changeLogUpkeep.scrubErased());
  };
  const count = async (what: ReturnType<typeof sql>) => (await store().query(what)).length;
  const mentions = (user: UserId) => count(sql`select from changes where ${user} in (owner, target)`);

  describe("the retention of changes", () => {
    it("keeps what a follower needs who was away for less than the hours", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      const expired = await forcedTick(store());
      await store().mutes.mute(ann, bob);
      const kept = await quietTick();
      await age(hours + 1);
      await store().mutes.unmute(ann, bob);
      const recent = await forcedTick(store());
      const missed = await changesBetween(store(), kept, recent);
      await retainAll();
      expect(await failureOf(store().changes.findTick(expired))).to.have.property("reason", "CURSOR_EXPIRED");
      expect(await store().changes.findTick(kept)).to.have.property("id", kept.id);
      expect(await changesBetween(store(), kept, recent)).to.eql(missed);
      expect(missed).to.have.length(1);
      expect(await count(sql`select from ticks where id < ${kept.id.toString()}`)).to.equal(0);
      expect(await count(sql`select from changes`)).to.equal(1);
    });

    it("keeps the newest tick, however old", async () => {
      const tick = await quietTick();
      await age(hours + 1);
      await retainAll();
      expect(await count(sql`select from ticks`)).to.equal(1);
      expect(await count(sql`select from changes`)).to.equal(0);
      expect(await store().changes.newestTick()).to.have.property("id", tick.id);
    });

    it("deletes nothing before its time", async () => {
      const [ann] = (await store().newUsers(1)) as [UserId];
      const tick = await forcedTick(store());
      await forcedTick(store());
      expect(await store().changeLogUpkeep.retain(hours)).to.equal(false);
      expect(await store().changes.findTick(tick)).to.eql(tick);
      expect(await mentions(ann)).to.equal(1);
    });

    it("deletes more than fits into a transaction, by several instances at once", async () => {
      await store().query(sql`
        insert into changes (kind, owner, present)
        select 'user', gen_random_uuid(), true from generate_series(1, 25000)`);
      await quietTick();
      await age(hours + 1);
      await Promise.all([retainAll(), retainAll(), retainAll()]);
      await retainAll();
      expect(await count(sql`select from changes`)).to.equal(0);
    });
  });

  describe("the scrubbing of erased users", () => {
    it("deletes the changes that name them, but for the erasure and what came after", async () => {
      const [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
      await store().mutes.mute(ann, bob);
      await store().mutes.mute(bob, ann);
      await store().mutes.mute(bob, carl);
      const from = await forcedTick(store());
      await store().users.delete(ann);
      await scrubAll();
      expect(await mentions(ann)).to.equal(1);
      expect(await count(sql`select from changes where owner = ${bob} and target = ${carl}`)).to.equal(1);
      expect(await count(sql`select from erasures`)).to.equal(0);
      const to = await forcedTick(store());
      expect(await changesBetween(store(), from, to)).to.have.length(1);

      await store().users.upsert([{ ...someUser(), id: ann }]);
      await store().mutes.mute(ann, carl);
      expect(await mentions(ann)).to.equal(3);
      await scrubAll();
      expect(await mentions(ann)).to.equal(3);
      await store().users.delete(ann);
      await scrubAll();
      expect(await mentions(ann)).to.equal(1);
    });

    it("is repeated for a user who returned and was erased again meanwhile", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      await store().users.delete(ann);
      // The first range is all; the pass ends with the next one.
      expect(await store().changeLogUpkeep.scrubErased()).to.equal(true);
      await store().users.upsert([{ ...someUser(), id: ann }]);
      await store().mutes.mute(ann, bob);
      await store().users.delete(ann);
      await scrubAll();
      expect(await count(sql`select from erasures`)).to.equal(1);
      await scrubAll();
      expect(await count(sql`select from erasures`)).to.equal(0);
      expect(await mentions(ann)).to.equal(1);
    });

    it("takes ranges of a long log", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      await store().mutes.mute(ann, bob);
      await store().query(sql`
        insert into changes (kind, owner, present)
        select 'user', gen_random_uuid(), true from generate_series(1, 25000)`);
      await store().mutes.unmute(ann, bob);
      await store().users.delete(ann);
      let ranges = 1;
      while (await store().changeLogUpkeep.scrubErased()) ranges++;
      expect(ranges).to.be.above(3);
      expect(await mentions(ann)).to.equal(1);
      await store().query(sql`delete from changes`);
    });
  });
}
