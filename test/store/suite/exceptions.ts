import { expect } from "chai";
import { maxExceptions, type PrivacySetting } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { Exception } from "../../../src/store/exceptions.ts";
import { expectReason, expectUnknownActor, type TestStore, tally, unknownId } from "./store.ts";

export function describeExceptions(store: () => TestStore): void {
  describe("exceptions", () => {
    let [owner, ann, bob, carl]: UserId[] = [];
    beforeEach(async () => {
      [owner, ann, bob, carl] = await store().newUsers(4);
    });
    const four = () => [owner, ann, bob, carl] as [UserId, UserId, UserId, UserId];

    const update = (add: UserId[], remove: UserId[] = [], setting: PrivacySetting = "groups") =>
      store().exceptions.update(owner as UserId, setting, { add, remove });
    const list = (setting: PrivacySetting = "groups") =>
      store().exceptions.list(owner as UserId, setting, 2_000);
    const listed = async (setting: PrivacySetting = "groups") => (await list(setting)).map(({ id }) => id);

    it("are empty at first", async () => {
      expect(await list()).to.eql([]);
    });

    it("are of one owner and one setting", async () => {
      const [, ann, bob] = four();
      await update([ann]);
      await update([bob], [], "status");
      expect([await listed(), await listed("status"), await listed("last_seen")]).to.eql([[ann], [bob], []]);
      expect(await store().exceptions.list(ann, "groups", 10)).to.eql([]);
    });

    it("change nothing the second time", async () => {
      const [, ann, bob] = four();
      await update([ann]);
      await update([bob]);
      const before = await list();
      await update([ann, ann, bob]);
      expect(await list()).to.eql(before);
      for (let i = 0; i < 2; i++) await update([], [ann, ann, unknownId()]);
      expect(await listed()).to.eql([bob]);
    });

    it("are added and removed together", async () => {
      const [, ann, bob, carl] = four();
      await update([ann, bob]);
      await update([carl], [ann]);
      expect(await listed()).to.eql([carl, bob]);
    });

    it("are all changed or none", async () => {
      const [, ann, bob] = four();
      await update([ann]);
      await expectReason(update([bob, unknownId()], [ann]), "USER_NOT_FOUND");
      expect(await listed()).to.eql([ann]);
    });

    it("are newest first, those of one call by id, with the users as others see them", async () => {
      const [, ann, bob, carl] = four();
      await update([bob]);
      await update([carl, ann]);
      const records = await list();
      expect(records.map(({ id }) => id)).to.eql([...[ann, carl].sort().reverse(), bob]);
      await store().settings.set(bob, "profile_picture", "none");
      const hidden = { ...(await store().users.find(bob)), profilePictureUrls: [] };
      expect((await list()).map(({ user }) => user)).to.eql([
        ...records.slice(0, 2).map(({ user }) => user),
        hidden,
      ]);
      for (const { id, user } of records) expect(user.id).to.equal(id);
    });

    it("come in pages without a gap or a repeat, over ties", async () => {
      for (let call = 0; call < 3; call++) await update(await store().newUsers(4));
      const whole = await list();
      expect(whole).to.have.length(12);
      for (const size of [1, 3, 5, 12]) {
        const all: Exception[] = [];
        for (;;) {
          const page = await store().exceptions.list(owner as UserId, "groups", size, all.at(-1));
          if (page.length === 0) break;
          all.push(...page);
        }
        expect(all, `pages of ${size}`).to.eql(whole);
      }
    });

    it("go on after one that was removed", async () => {
      const [, ann, bob, carl] = four();
      for (const user of [ann, bob, carl]) await update([user]);
      const position = (await list())[1] as Exception;
      await update([], [bob]);
      const rest = await store().exceptions.list(owner as UserId, "groups", 10, position);
      expect(rest.map(({ id }) => id)).to.eql([ann]);
    });

    it("are 1,000 at most, counted after the change", async () => {
      const users = await store().newUsers(maxExceptions + 1);
      const [first, ...others] = users as [UserId, ...UserId[]];
      await expectReason(update(users), "TOO_MANY_EXCEPTIONS");
      expect(await listed()).to.eql([]);
      await update(others);
      await expectReason(update([first], [unknownId()]), "TOO_MANY_EXCEPTIONS");
      expect(await listed()).to.have.members(others);
      await update(others.slice(0, 10));
      await update([first], others.slice(0, 1));
      expect(await listed()).to.have.members([first, ...others.slice(1)]);
      await update([others[0] as UserId], [], "status");
    });

    it("are 1,000 at most when many calls add at once", async () => {
      const users = await store().newUsers(maxExceptions + 30);
      const standing = users.slice(0, maxExceptions - 10);
      const newcomers = users.slice(standing.length);
      await update(standing);
      for (let round = 0; round < 3; round++) {
        // Every connection open, and each call long enough to meet the others.
        await Promise.all(Array.from({ length: 7 }, () => store().ping()));
        // Few enough for the embedded database to do them all before the last has waited too long for its turn.
        const calls = Array.from({ length: 7 }, (_, i) =>
          update([...standing, ...newcomers.slice(2 * i, 2 * i + 2)]),
        );
        expect(await tally(calls)).to.eql({ ok: 5, TOO_MANY_EXCEPTIONS: 2 });
        expect(await listed()).to.have.length(maxExceptions);
        await update([], newcomers);
      }
    });

    it("may be users of any kind, oneself too", async () => {
      const [owner, ann] = four();
      await store().blocks.block(ann, owner);
      await update([ann, owner]);
      expect(await listed()).to.have.members([ann, owner]);
    });

    it("survive every choice of an audience", async () => {
      const [owner, ann] = four();
      await update([ann]);
      for (const audience of ["contact_blacklist", "none", "all", "contacts"] as const) {
        await store().settings.set(owner, "groups", audience);
        expect(await listed()).to.eql([ann]);
      }
    });

    it("go with the user, and with the owner", async () => {
      const [owner, ann, bob] = four();
      await update([ann, bob]);
      await store().users.delete(ann);
      expect(await listed()).to.eql([bob]);
      await expectReason(update([ann], [bob]), "USER_NOT_FOUND");
      await store().users.delete(owner);
      await expectUnknownActor(list());
    });

    it("report an unknown owner before anything else", async () => {
      const unknown = unknownId();
      await expectUnknownActor(store().exceptions.list(unknown, "groups", 10));
      for (const add of [[], [ann as UserId], [unknownId()]])
        await expectUnknownActor(store().exceptions.update(unknown, "groups", { add, remove: [] }));
    });
  });
}
