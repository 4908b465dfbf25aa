import { expect } from "chai";
import { sql } from "kysely";
import type { ImportRecord } from "../../../src/domain/imports.ts";
import type { User, UserId } from "../../../src/domain/users.ts";
import { edgeRecord } from "./imports.ts";
import { expectReason, expectUnknownActor, someUser, type TestStore, unknownId } from "./store.ts";

/** Marks a user as the first transaction of an erasure does that has left rows. */
async function markErased(store: TestStore, user: UserId): Promise<void> {
  await store.query(sql`update users set erased_at = clock_timestamp() where id = ${user}`);
}

const edges = ["follow", "block", "mute"] as const;

/** An erasure of several transactions, between two of them. */
export function describeErasureSteps(store: () => TestStore): void {
  describe("a user whose erasure has begun", () => {
    let gone: User;
    let [other, third] = [] as unknown as [UserId, UserId];
    beforeEach(async () => {
      gone = someUser();
      await store().users.upsert([gone]);
      [other, third] = (await store().newUsers(2)) as [UserId, UserId];
      await store().follows.follow(gone.id, third);
      await store().blocks.block(other, gone.id);
      await store().mutes.mute(other, gone.id);
      await store().blocks.block(other, third);
      await store().mutes.mute(other, third);
      await store().exceptions.update(other, "groups", { add: [gone.id, third], remove: [] });
      await markErased(store(), gone.id);
    });

    const imported = async (...records: ImportRecord[]) => {
      const { skipped } = await store().imports.store({ service: "tests", id: unknownId() }, 0, records);
      return skipped.map(({ reason }) => reason);
    };
    const countOf = async (table: string) => {
      const rows = await store().query(
        sql`select from ${sql.table(table)} t where t::text like ${`%${gone.id}%`}`,
      );
      return rows.length;
    };

    it("is unknown to decisions, as the viewer and as the owner", async () => {
      const asked = { muteScope: 1, setting: "groups" } as const;
      const queries = [
        { ...asked, viewer: gone.id, owner: other },
        { ...asked, viewer: other, owner: gone.id },
        { ...asked, viewer: null, owner: gone.id },
        { ...asked, viewer: other, owner: third },
      ];
      const known = [];
      for (const query of queries) known.push(...(await store().relationshipFacts.read([query])));
      const together = await store().relationshipFacts.read(queries);
      for (const facts of [known, together])
        expect(facts.map((found) => found.known)).to.eql([false, false, false, true]);
    });

    it("is left out of the lists of others, whose pages stay full", async () => {
      for (const list of [store().blocks, store().mutes])
        expect((await list.list(other, 1)).map(({ user }) => user.id)).to.eql([third]);
      const exceptions = await store().exceptions.list(other, "groups", 1);
      expect(exceptions.map(({ id }) => id)).to.eql([third]);
    });

    it("is found by nothing", async () => {
      await expectReason(store().users.find(gone.id), "USER_NOT_FOUND");
      expect(await store().users.findByName(gone.userName)).to.eql([]);
      await expectReason(store().follows.relationship(gone.id, third), "USER_NOT_FOUND");
      await expectReason(store().follows.relationship(third, gone.id), "USER_NOT_FOUND");
    });

    it("cannot act", async () => {
      const { blocks, mutes, settings, exceptions } = store();
      const change = { add: [third], remove: [] };
      await expectUnknownActor(blocks.block(gone.id, third));
      await expectUnknownActor(blocks.update(gone.id, third, {}));
      await expectUnknownActor(blocks.unblock(gone.id, third));
      await expectUnknownActor(blocks.list(gone.id, 10));
      await expectUnknownActor(mutes.mute(gone.id, third));
      await expectUnknownActor(mutes.update(gone.id, third, {}));
      await expectUnknownActor(mutes.unmute(gone.id, third));
      await expectUnknownActor(mutes.list(gone.id, 10));
      await expectUnknownActor(settings.get(gone.id));
      await expectUnknownActor(settings.set(gone.id, "groups", "none"));
      await expectUnknownActor(exceptions.list(gone.id, "groups", 10));
      await expectUnknownActor(exceptions.update(gone.id, "groups", change));
    });

    it("cannot be met, and gets no new rows", async () => {
      const { blocks, mutes, exceptions, follows } = store();
      const tables = ["follows", "blocks", "mutes", "privacy_exceptions", "idempotency_keys", "changes"];
      const before = await Promise.all(tables.map(countOf));
      await expectReason(blocks.block(third, gone.id), "USER_NOT_FOUND");
      await expectReason(blocks.block(third, gone.id, undefined, "key"), "USER_NOT_FOUND");
      await expectReason(blocks.update(other, gone.id, { expiresAt: null }), "USER_NOT_FOUND");
      await expectReason(blocks.unblock(other, gone.id), "USER_NOT_FOUND");
      await expectReason(mutes.mute(third, gone.id), "USER_NOT_FOUND");
      await expectReason(mutes.update(other, gone.id, { scopes: 1 }), "USER_NOT_FOUND");
      await expectReason(mutes.unmute(other, gone.id), "USER_NOT_FOUND");
      await expectReason(follows.follow(third, gone.id), "USER_NOT_FOUND");
      await expectReason(follows.follow(gone.id, third), "USER_NOT_FOUND");
      const change = { add: [gone.id], remove: [] };
      await expectReason(exceptions.update(third, "groups", change), "USER_NOT_FOUND");
      await follows.unfollow(gone.id, third);
      const records = edges.flatMap((kind) => [
        edgeRecord(kind, gone.id, third),
        edgeRecord(kind, third, gone.id),
      ]);
      expect(await imported(...records)).to.eql(records.map(() => "UNKNOWN_USER"));
      expect(await Promise.all(tables.map(countOf))).to.eql(before);
    });

    it("comes back only when the erasure is complete", async () => {
      const { id, userName } = gone;
      await expectReason(store().users.upsert([someUser(), gone]), "UNAVAILABLE");
      await expectReason(imported({ kind: "user", user: gone }), "UNAVAILABLE");
      await expectReason(imported({ kind: "user", user: { id, userName } }), "UNAVAILABLE");
      while (await store().users.resumeErasures());
      await store().users.upsert([gone]);
      expect(await store().users.find(id)).to.eql(gone);
      const { following, blockedBy, mutedBy } = await store().follows.relationship(id, other);
      expect([following, blockedBy, mutedBy]).to.eql([false, null, null]);
      expect((await store().blocks.list(other, 10)).map(({ user }) => user.id)).to.eql([third]);
    });

    it("is gone after a repeated deletion", async () => {
      await store().users.delete(gone.id);
      for (const table of ["users", "follows", "blocks", "mutes", "privacy_exceptions", "idempotency_keys"])
        expect(await countOf(table), table).to.equal(0);
    });

    it("is logged as erased when it begins and when it ends, and nothing that named the user", async () => {
      const rows = () =>
        store().query(sql<{ kind: string; cause: string | null; present: boolean }>`
          select kind, cause, present from changes
          where owner = ${gone.id} or target = ${gone.id} order by seq`);
      const before = await rows();
      expect(before.at(-1)).to.include({ kind: "user", present: false });
      while (await store().users.resumeErasures());
      expect(await rows()).to.eql([...before, { kind: "user", cause: "erasure", present: false }]);
    });

    it("is logged after what was changed by hand meanwhile", async () => {
      await store().query(
        sql`update blocks set expires_at = now() + interval '1 day' where blocker_id = ${other}`,
      );
      while (await store().users.resumeErasures());
      const [last] = await store().query(sql<{ kind: string; present: boolean }>`
        select kind, present from changes
        where ${gone.id} in (owner, coalesce(target, owner)) order by seq desc limit 1`);
      expect(last).to.eql({ kind: "user", present: false });
    });

    it("keeps what has ended from the sweep, which would log it", async () => {
      await store().query(sql`update blocks set expires_at = now() where blocker_id = ${other}`);
      while ((await store().expiry.sweepExpired()) > 0);
      expect(await countOf("blocks")).to.equal(1);
      const { length } = await store().query(
        sql`select from changes where target = ${gone.id} and cause = 'expiry'`,
      );
      expect(length).to.equal(0);
      while (await store().users.resumeErasures());
      expect(await countOf("blocks")).to.equal(0);
    });
  });

  describe("the erasures that were begun", () => {
    it("are completed one after the other, by several at once", async () => {
      const users = await store().newUsers(6);
      for (const user of users) {
        await store()
          .blocks.block(users.find((one) => one !== user) as UserId, user)
          .catch(() => {});
      }
      for (const user of users) await markErased(store(), user);
      const resume = async () => {
        while (await store().users.resumeErasures());
      };
      await Promise.all([resume(), resume(), resume()]);
      expect(await store().query(sql`select from users where erased_at is not null`)).to.eql([]);
      expect(await store().query(sql`select from users where id = any (${users}::uuid[])`)).to.eql([]);
      expect(await store().users.resumeErasures()).to.equal(false);
    });

    it("log nothing when the user was unknown", async () => {
      const stranger = unknownId();
      await store().users.delete(stranger);
      const rows = await store().query(sql`select from changes where owner = ${stranger}`);
      expect(rows).to.eql([]);
    });
  });
}
