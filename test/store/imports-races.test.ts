import { expect } from "chai";
import type { PrivacyError } from "../../src/domain/errors.ts";
import type { ImportRecord } from "../../src/domain/imports.ts";
import type { UserId } from "../../src/domain/users.ts";
import { edgeRecord, newImport } from "./suite/imports.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { someUser, tally } from "./suite/store.ts";

describe("imports at once with other changes, on PostgreSQL", function () {
  this.timeout(60_000);
  const store = onPostgresql();

  before(async () => {
    const { admin } = store();
    const { rows } = await admin.query("select current_database() as name");
    // The lock timeout comes first, and fails the call: else a deadlock would pass unnoticed, as it is tried again.
    // Only a superuser may set it.
    await admin
      .query(`alter database ${admin.escapeIdentifier(rows[0].name)} set deadlock_timeout = '1min'`)
      .catch(() => {});
  });

  /** Every user with regard to the next few, in every way. */
  function edgesAmong(
    users: readonly UserId[],
    kinds: readonly ("follow" | "block" | "mute")[],
  ): ImportRecord[] {
    return users.flatMap((owner, i) =>
      kinds.flatMap((kind, k) => {
        const target = users[(i + k + 1) % users.length] as UserId;
        return [edgeRecord(kind, owner, target), edgeRecord(kind, target, owner)];
      }),
    );
  }

  async function expectNoneAcross(): Promise<void> {
    const { rows } = await store().admin.query(`
      select f.* from follows f join blocks b
        on (b.blocker_id, b.blocked_id) in ((f.follower_id, f.followee_id), (f.followee_id, f.follower_id))`);
    expect(rows).to.eql([]);
  }

  it("two imports of the same records in opposite orders both succeed", async () => {
    for (let round = 0; round < 25; round++) {
      const users = Array.from({ length: 60 }, () => someUser());
      const records: ImportRecord[] = [
        ...users.map((user): ImportRecord => ({ kind: "user", user })),
        ...edgesAmong(
          users.map(({ id }) => id),
          ["follow", "block", "mute", "follow"],
        ),
      ];
      const reversed = users.map(
        (user): ImportRecord => ({ kind: "user", user: { ...user, lastName: "R" } }),
      );
      reversed.push(...records.slice(users.length));
      reversed.reverse();
      const outcomes = await tally([
        store().imports.store(newImport(), 0, records),
        store().imports.store(newImport(), 0, reversed),
        store().imports.store(newImport(), 0, records.slice(300)),
        store().imports.store(newImport(), 0, reversed.slice(0, 300)),
      ]);
      expect(outcomes, `round ${round}`).to.eql({ ok: 4 });
    }
    await expectNoneAcross();
  });

  it("imports of settings and exceptions in opposite orders succeed beside users who choose", async () => {
    for (let round = 0; round < 25; round++) {
      const users = await store().newUsers(40);
      const records = users.flatMap((owner, i): ImportRecord[] => {
        const target = users[(i + 1) % users.length] as UserId;
        return [
          { kind: "setting", setting: { owner, setting: "groups", audience: "contact_blacklist" } },
          { kind: "exception", exception: { owner, setting: "groups", target, createdAt: null } },
          edgeRecord("mute", owner, target),
        ];
      });
      const chosen = users
        .slice(0, 4)
        .flatMap((user, i) => [
          store().settings.set(user, "groups", "none"),
          store().exceptions.update(user, "groups", { add: [users[i + 1] as UserId], remove: [] }),
        ]);
      const outcomes = await tally([
        store().imports.store(newImport(), 0, records),
        store().imports.store(newImport(), 0, records.toReversed()),
        store().imports.store(newImport(), 0, records.slice(60)),
        ...chosen,
      ]);
      expect(outcomes, `round ${round}`).to.eql({ ok: 3 + chosen.length });
    }
  });

  it("no follow crosses a block, whichever of the two is imported", async () => {
    for (let round = 0; round < 40; round++) {
      const users = await store().newUsers(24);
      const pairs = users.map((user, i) => [user, users[(i + 1) % users.length] as UserId] as const);
      const follows = pairs.map(([a, b]) => edgeRecord("follow", a, b));
      const blocks = pairs.map(([a, b]) => edgeRecord("block", b, a));
      const outcomes = await tally([
        store().imports.store(newImport(), 0, follows),
        // No more than there are connections: who must wait for one may be refused.
        ...pairs.slice(0, 6).map(([a, b]) => store().blocks.block(a, b)),
        store().imports.store(newImport(), 0, blocks.slice(12)),
        ...pairs.slice(16).map(([a, b]) => store().follows.follow(b, a)),
      ]);
      expect(Object.keys(outcomes), `round ${round}`).to.have.members(
        Object.keys({ ok: 0, ...(outcomes.FOLLOW_ACROSS_BLOCK && { FOLLOW_ACROSS_BLOCK: 0 }) }),
      );
      await expectNoneAcross();
    }
  });

  it("users imported in part keep what a concurrent upsert stores", async () => {
    for (let round = 0; round < 30; round++) {
      const users = Array.from({ length: 40 }, () => someUser());
      await store().users.upsert(users.slice(0, 20));
      const inPart = users.map(
        ({ id, userName }): ImportRecord => ({ kind: "user", user: { id, userName } }),
      );
      const outcomes = await tally([
        store().imports.store(newImport(), 0, inPart),
        store().users.upsert(users.map((user) => ({ ...user, isVerified: true })).reverse()),
        store().imports.store(newImport(), 0, inPart.toReversed()),
      ]);
      expect(outcomes, `round ${round}`).to.eql({ ok: 3 });
      const found = await Promise.all(users.slice(0, 8).map(({ id }) => store().users.find(id)));
      const late = await Promise.all(users.slice(-8).map(({ id }) => store().users.find(id)));
      for (const { isVerified } of [...found, ...late]) expect(isVerified, `round ${round}`).to.equal(true);
    }
  });

  /** Does something again for as long as it is unavailable. */
  async function whenAvailable<T>(step: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await step();
      } catch (failure) {
        if ((failure as PrivacyError).reason !== "UNAVAILABLE") throw failure;
      }
    }
  }

  it("users deleted during the import are unknown, or their records are deleted too", async () => {
    for (let round = 0; round < 40; round++) {
      const users = await store().newUsers(12);
      const records = edgesAmong(users, ["follow", "block", "mute"]);
      const name = newImport();
      // A user who is being erased makes it fail fast.
      const imported = whenAvailable(() => store().imports.store(name, 0, records));
      // Too far apart for an edge: two who are deleted at once may wait for each other over the edges between them.
      const deleted = users.filter((_, i) => i % 4 === 0);
      const outcomes = await tally([imported, ...deleted.map((user) => store().users.delete(user))]);
      expect(outcomes, `round ${round}`).to.eql({ ok: 1 + deleted.length });
      const { progress, skipped } = await imported;
      const { records: all, stored, unchanged } = progress;
      expect([all, stored + unchanged + skipped.length]).to.eql([records.length, records.length]);
      await expectNoneAcross();
    }
  });
});
