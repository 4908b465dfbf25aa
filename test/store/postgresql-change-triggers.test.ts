import { expect } from "chai";
import type { UserId } from "../../src/domain/users.ts";
import type { Tick } from "../../src/store/change-log.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf } from "./suite/store.ts";

const addFollow = "insert into public.follows (follower_id, followee_id, created_at) values ($1, $2, now())";

// The store's own changes are tested by the suite of both databases.
describe("the triggers of the change log, for changes by an operator", () => {
  const store = onPostgresql();
  let ann: UserId;
  let bob: UserId;
  let cat: UserId;

  beforeEach(async () => {
    [ann, bob, cat] = (await store().newUsers(3)) as [UserId, UserId, UserId];
  });

  afterEach(() => query("rollback"));

  const query = (text: string, ...values: readonly unknown[]) => store().admin.query(text, [...values]);
  const tick = async () => (await store().changes.tick({ force: true })) as Tick;

  /** What some work has logged, in order. */
  async function logged(work: () => Promise<unknown>): Promise<string[]> {
    const from = await tick();
    await work();
    const changes = await store().changes.read(from, await tick(), 0n, 100);
    const names = new Map([ann, bob, cat].map((id, index) => [id, ["ann", "bob", "cat"][index]]));
    return changes.map((change) => {
      const target = "target" in change ? ` ${names.get(change.target)}` : "";
      const holds = "edge" in change ? change.edge !== null : "present" in change && change.present;
      return `${change.kind} ${names.get(change.owner)}${target} ${holds ? "holds" : "ends"}`;
    });
  }

  it("log what is left of a transaction with savepoints", async () => {
    const changes = await logged(async () => {
      await query("begin");
      await query(addFollow, ann, bob);
      await query("savepoint one");
      await query(addFollow, ann, cat);
      await query("rollback to one");
      await query("savepoint two");
      await query(addFollow, bob, cat);
      await query("release two");
      await query("commit");
    });
    expect(changes).to.eql(["follow ann bob holds", "follow bob cat holds"]);
  });

  it("log a change of a key as an end and a beginning", async () => {
    await query(addFollow, ann, bob);
    const changes = await logged(() =>
      query("update follows set followee_id = $2 where follower_id = $1", ann, cat),
    );
    expect(changes).to.eql(["follow ann bob ends", "follow ann cat holds"]);
  });

  it("log both parts of a merge", async () => {
    await query(addFollow, ann, bob);
    const changes = await logged(() =>
      query(
        `merge into follows f using (values ($1::uuid, $2::uuid), ($1, $3)) given (follower, followee)
          on f.follower_id = follower and f.followee_id = followee
          when matched then delete
          when not matched then insert (follower_id, followee_id, created_at) values (follower, followee, now())`,
        ann,
        bob,
        cat,
      ),
    );
    expect(changes).to.have.members(["follow ann bob ends", "follow ann cat holds"]);
  });

  it("write to the log, even where another table of its name comes first in the search path", async () => {
    const changes = await logged(async () => {
      await query("create schema postgres");
      await query("create table postgres.changes as table public.changes with no data");
      await query("create temporary table changes as table public.changes with no data");
      await query(addFollow, ann, bob);
      await query("drop table pg_temp.changes");
      await query("drop schema postgres cascade");
    });
    expect(changes).to.eql(["follow ann bob holds"]);
  });

  for (const isolation of ["read committed", "repeatable read"])
    it(`begin a new history by a truncate, whatever is stored meanwhile (${isolation})`, async () => {
      await query(`begin isolation level ${isolation}`);
      await query("select count(*) from users");
      const before = await tick();
      await query("truncate privacy_exceptions");
      // Otherwise a follower could reach this tick, and would not learn of the truncate when that commits.
      const next = tick();
      const first = await Promise.race([
        next.then(() => "stored"),
        store()
          .untilWaiting(1)
          .then(() => "waits"),
      ]);
      expect(first).to.equal("waits");
      await query("commit");
      expect((await next).nonce).not.to.equal(before.nonce);
      expect(await failureOf(store().changes.ticksAfter(before, 1))).to.have.property(
        "reason",
        "HISTORY_CHANGED",
      );
    });
});
