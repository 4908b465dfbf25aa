import { expect } from "chai";
import type { UserId } from "../../src/domain/users.ts";
import { onPostgresql, openPostgresStore, withParameters } from "./suite/postgresql.ts";
import { expectReason, type TestStore } from "./suite/store.ts";

describe("follow against block on PostgreSQL", () => {
  const store = onPostgresql();
  let [ann, bob]: UserId[] = [];
  beforeEach(async () => {
    [ann, bob] = await store().newUsers(2);
  });
  afterEach(() => store().admin.query("rollback"));

  /** Takes the lock of the pair in a transaction that goes on. */
  async function holdPair(): Promise<void> {
    const pair = [ann, bob].sort().join(":");
    await store().admin.query("begin");
    await store().admin.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [pair]);
  }

  async function followDuringBlock(other: TestStore): Promise<void> {
    await holdPair();
    const follow = other.follows.follow(bob as UserId, ann as UserId);
    await store().untilWaiting(1);
    await store().admin.query("insert into blocks values ($1, $2, gen_random_uuid(), now())", [ann, bob]);
    await store().admin.query("commit");
    await expectReason(follow, "FOLLOW_ACROSS_BLOCK");
  }

  it("a follow waits for a block under way, and sees it", () => followDuringBlock(store()));

  it("a follow sees it whatever isolation the database prefers", async () => {
    const options = "-c default_transaction_isolation=repeatable\\ read";
    const other = await openPostgresStore(withParameters(store().url, { options }));
    try {
      await followDuringBlock(other);
    } finally {
      await other.close();
    }
  });

  it("a block waits for a follow under way, and ends it", async () => {
    await holdPair();
    const block = store().blocks.block(ann as UserId, bob as UserId);
    await store().untilWaiting(1);
    await store().admin.query("insert into follows values ($1, $2, now()), ($2, $1, now())", [ann, bob]);
    await store().admin.query("commit");
    await block;
    const { following, followedBy } = await store().follows.relationship(ann as UserId, bob as UserId);
    expect({ following, followedBy }).to.eql({ following: false, followedBy: false });
  });

  it("pairs do not wait for each other", async () => {
    await holdPair();
    const [carl] = await store().newUsers(1);
    await store().blocks.block(carl as UserId, ann as UserId);
    await store().follows.follow(bob as UserId, carl as UserId);
    const { following } = await store().follows.relationship(bob as UserId, carl as UserId);
    expect(following).to.equal(true);
  });
});
