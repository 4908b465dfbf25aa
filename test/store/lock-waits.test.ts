import { expect } from "chai";
import type { User, UserId } from "../../src/domain/users.ts";
import { databaseOn } from "../../src/store/database.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { until } from "../support/until.ts";
import { edgeRecord, newImport } from "./suite/imports.ts";
import { onPostgresql, withParameters } from "./suite/postgresql.ts";
import { failureOf, someUser, type TestStore, tally, testStore } from "./suite/store.ts";

/** More than the pool has connections. */
const crowd = 40;
const hourMs = 3_600_000;
/** The number of changes that may wait long for locks at once. */
const longLockWaits = 4;
/** The server's own timeouts are so long that only the service ends a wait. */
const patient = { lock_timeout: hourMs, statement_timeout: hourMs, query_timeout: hourMs };

describe("waiting for a lock", function () {
  this.timeout(30_000);
  const store = onPostgresql();
  let other: TestStore;
  let [ann, bob]: UserId[] = [];

  beforeEach(async () => {
    [ann, bob] = await store().newUsers(2);
    const poolLimits = { acquireTimeoutMs: hourMs };
    other = testStore(await openPostgresql(withParameters(store().url, patient), () => {}, { poolLimits }));
  });
  afterEach(async () => {
    await store().admin.query("rollback");
    await other?.close();
  });

  const waitingFor: Record<string, () => Promise<() => Promise<unknown>>> = {
    "the lock of a pair": async () => {
      await store().admin.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [
        [ann, bob].sort().join(":"),
      ]);
      return () => other.blocks.block(ann as UserId, bob as UserId);
    },
    "the row of a setting": async () => {
      await store().settings.set(ann as UserId, "groups", "none");
      await store().admin.query("select from privacy_settings where user_id = $1 for update", [ann]);
      return () => other.settings.set(ann as UserId, "groups", "all");
    },
    "an idempotency key, by requests about different users": async () => {
      const targets = await store().newUsers(crowd);
      await store().admin.query(
        "insert into idempotency_keys (actor_id, key, request) values ($1, 'key', '')",
        [ann],
      );
      return () => other.mutes.mute(ann as UserId, targets.pop() as UserId, undefined, "key");
    },
    "a table, by changes of different things": async () => {
      const targets = await store().newUsers(crowd);
      await store().admin.query("lock table mutes in exclusive mode");
      return () => other.mutes.mute(ann as UserId, targets.pop() as UserId);
    },
    "a user who is upserted": async () => {
      const user = someUser();
      await store().users.upsert([user]);
      await store().admin.query("update users set last_name = 'Locked' where id = $1", [user.id]);
      return () => other.users.upsert([user]);
    },
  };

  for (const [name, prepare] of Object.entries(waitingFor)) {
    it(`leaves connections for calls that wait for no lock: ${name}`, async () => {
      await store().admin.query("begin");
      const wait = await prepare();
      const waiting = Array.from({ length: crowd }, () => wait().catch((failure: unknown) => failure));
      await until(async () => (await store().running()).some(({ waits }) => waits));
      const users = await store().newUsers(crowd);
      const outcomes = await tally(users.map((user) => other.settings.set(user, "status", "none")));
      expect(outcomes).to.eql({ ok: crowd });
      await store().admin.query("rollback");
      await Promise.all(waiting);
    });
  }

  it("leaves connections for calls that wait for no lock, while others retry", async () => {
    const [owner, ...targets] = (await store().newUsers(crowd + 1)) as [UserId, ...UserId[]];
    const usual = testStore(await openPostgresql(withParameters(store().url, patient), () => {}));
    await store().admin.query("begin");
    await store().admin.query("lock table mutes in exclusive mode");
    let over = false;
    const waiting = targets.map(async (target) => {
      while (!over) await usual.mutes.mute(owner, target).catch(() => {});
    });
    let served = 0;
    try {
      await store().untilWaiting(longLockWaits);
      for (const target of targets) {
        await usual.settings.set(target, "status", "none").then(
          () => served++,
          () => {},
        );
      }
    } finally {
      over = true;
      await store().admin.query("rollback");
      await Promise.all(waiting);
      await usual.close();
    }
    // A busy machine may refuse some of them.
    expect(served).to.be.above(crowd / 2);
  });

  it("uses few entries of the server's lock table, with any number of upserted users", async () => {
    const users = Array.from({ length: 1_000 }, () => someUser());
    const [last] = users.toSorted((a, b) => (a.id < b.id ? 1 : -1));
    const { admin } = store();
    await store().users.upsert([last as User]);
    await admin.query("begin");
    await admin.query("update users set last_name = 'Locked' where id = $1", [last?.id]);
    const upsert = other.users.upsert(users);
    await store().untilWaiting(1);
    const { rows } = await admin.query(`
      select count(*)::int from pg_locks
      where pid in (select pid from pg_stat_activity where application_name = 'privacy-control') and not fastpath`);
    await admin.query("rollback");
    await upsert;
    expect(rows[0].count).to.be.below(20);
  });

  it("fails fast when the user is being erased, whatever the change", async () => {
    const user = someUser();
    const { id } = user;
    await store().users.upsert([user]);
    await store().follows.follow(ann as UserId, id);
    await store().blocks.block(id, bob as UserId);
    await store().mutes.mute(ann as UserId, id);
    await store().exceptions.update(ann as UserId, "groups", { add: [id], remove: [] });
    await store().settings.set(id, "groups", "none");
    // The erasure is blocked in the middle, after it has deleted the follows.
    const { admin } = store();
    await admin.query("begin");
    await admin.query("select from mutes where muted_id = $1 for update", [id]);
    const erasing = databaseOn(await openPostgresql(withParameters(store().url, patient), () => {}));
    const erased = erasing.users.delete(id);
    await store().untilWaiting(1);
    const changes = [
      () => other.blocks.block(ann as UserId, id),
      () => other.blocks.update(id, bob as UserId, { expiresAt: null }),
      () => other.mutes.update(ann as UserId, id, { scopes: 1 }),
      () => other.blocks.unblock(id, bob as UserId),
      () => other.mutes.mute(bob as UserId, id),
      () => other.follows.follow(bob as UserId, id),
      () => other.follows.unfollow(ann as UserId, id),
      () => other.settings.set(id, "groups", "all"),
      () => other.exceptions.update(ann as UserId, "groups", { add: [], remove: [id] }),
      () => other.users.upsert([user]),
      () => other.imports.store(newImport(), 0, [edgeRecord("follow", bob as UserId, id)]),
      () => other.imports.store(newImport(), 0, [{ kind: "user", user }]),
    ];
    for (const change of changes)
      expect(await failureOf(change()), String(change)).to.have.property("reason", "UNAVAILABLE");
    await until(async () => (await store().running()).length === 1);
    await admin.query("rollback");
    await erased;
    await erasing.close();
    expect(await store().users.findByName(user.userName)).to.eql([]);
  });
});
