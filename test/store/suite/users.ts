import { expect } from "chai";
import { sql } from "kysely";
import type { User, UserId } from "../../../src/domain/users.ts";
import { expectReason, failureOf, someUser, type TestStore, unknownId } from "./store.ts";

const hostileTexts = [
  "'); drop table users; --",
  `"quoted" and 'quoted'`,
  "back\\slash \\' \\u0041 \\n",
  "line\nfeed\ttab\r",
  "{a,b} [1,2] (x) NULL null",
  "$1 ? :name %s {{x}} #{x}",
  "é ß 漢字 👩‍👩‍👧 \u202e reversed \ufeff",
  "",
  "x".repeat(10_000),
];

export function describeUsers(store: () => TestStore): void {
  describe("users", () => {
    it("finds a user as it was upserted", async () => {
      const user = someUser({
        isVerified: true,
        profilePictureUrls: ["https://b.example/2", "https://a.example/1"],
      });
      await store().users.upsert([user]);
      expect(await store().users.find(user.id)).to.eql(user);
    });

    it("stores hostile texts verbatim", async () => {
      const users = hostileTexts.map((text) =>
        someUser({ userName: text, firstName: text, lastName: text, profilePictureUrls: [text, text] }),
      );
      await store().users.upsert(users);
      for (const user of users) {
        expect(await store().users.find(user.id)).to.eql(user);
        expect(await store().users.findByName(user.userName)).to.deep.include(user);
      }
    });

    it("throws USER_NOT_FOUND for an unknown user", async () => {
      await expectReason(store().users.find(unknownId()), "USER_NOT_FOUND");
    });

    it("replaces the data of a user", async () => {
      const before = someUser();
      const after = someUser({
        id: before.id,
        userName: "renamed",
        profilePictureUrls: [],
        isVerified: true,
      });
      await store().users.upsert([before]);
      await store().users.upsert([after]);
      expect(await store().users.find(before.id)).to.eql(after);
    });

    it("keeps the last of two with one id", async () => {
      const [first, other] = [someUser({ userName: "first" }), someUser()];
      await store().users.upsert([first, other, { ...first, userName: "last" }]);
      expect((await store().users.find(first.id)).userName).to.equal("last");
    });

    it("stores all users or none", async () => {
      const good = someUser();
      await failureOf(store().users.upsert([good, someUser({ id: "no uuid" as UserId })]));
      await expectReason(store().users.find(good.id), "USER_NOT_FOUND");
    });

    it("does not write an unchanged user again", async () => {
      const [same, changed] = [someUser(), someUser()];
      await store().users.upsert([same, changed]);
      const place = async (id: UserId) =>
        (await store().query(sql<{ at: string }>`select ctid::text as at from users where id = ${id}`))[0]
          ?.at;
      const before = [await place(same.id), await place(changed.id)];
      await store().users.upsert([same, { ...changed, lastName: "Changed" }]);
      expect(await place(same.id)).to.equal(before[0]);
      expect(await place(changed.id)).not.to.equal(before[1]);
    });

    it("accepts an empty list", async () => {
      const count = async () => (await store().query(sql`select from users`)).length;
      const before = await count();
      await store().users.upsert([]);
      expect(await count()).to.equal(before);
    });

    it("upserts the same users from many sides at once", async () => {
      const users = Array.from({ length: 50 }, () => someUser());
      const sides = Array.from({ length: 20 }, (_, side) =>
        users.map((user) => ({ ...user, lastName: `${side}` })).sort(() => (side % 2 === 0 ? 1 : -1)),
      );
      await Promise.all(sides.map((side) => store().users.upsert(side)));
      expect(Number((await store().users.find(users[0]?.id as UserId)).lastName)).to.be.within(0, 19);
    });

    it("finds the users of a name as they were upserted, in the order of ids, ten at most", async () => {
      const userName = `Shared_${unknownId()}`;
      const users = Array.from({ length: 3 }, (_, n) => someUser({ userName, isVerified: n === 1 }));
      await store().users.upsert(users);
      const byId = (some: User[]) => some.toSorted((a, b) => (a.id < b.id ? -1 : 1));
      expect(await store().users.findByName(userName)).to.eql(byId(users));
      for (const other of [`${userName}?`, userName.toLowerCase(), userName.slice(0, -1), `${userName} `])
        expect(await store().users.findByName(other)).to.eql([]);
      const more = Array.from({ length: 9 }, () => someUser({ userName }));
      await store().users.upsert(more);
      expect(await store().users.findByName(userName)).to.eql(byId([...users, ...more]).slice(0, 10));
    });

    it("finds by name neither a user who is being erased nor one who was renamed", async () => {
      const userName = `gone_${unknownId()}`;
      const [erased, renamed, left] = [
        someUser({ userName }),
        someUser({ userName }),
        someUser({ userName }),
      ];
      await store().users.upsert([erased, renamed, left]);
      await store().users.upsert([{ ...renamed, userName: "other" }]);
      await store().query(sql`update users set erased_at = now() where id = ${erased.id}`);
      expect(await store().users.findByName(userName)).to.eql([left]);
      await store().users.delete(erased.id);
    });

    it("is not empty with a user", async () => {
      await store().newUser();
      expect(await store().users.isEmpty()).to.equal(false);
    });

    it("deletes a user, twice", async () => {
      const id = await store().newUser();
      await store().users.delete(id);
      await store().users.delete(id);
      await expectReason(store().users.find(id), "USER_NOT_FOUND");
    });
  });
}
