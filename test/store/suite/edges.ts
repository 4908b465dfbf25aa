import { expect } from "chai";
import type { Written } from "../../../src/domain/consistency.ts";
import type { EdgeRecord, EdgeTerms, EdgeTermsChange, ListPosition } from "../../../src/domain/edges.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { expectReason, expectUnknownActor, someUser, type TestStore, tally, unknownId } from "./store.ts";

/** Blocks or mutes: what they have in common. */
export interface Twin {
  readonly table: "blocks" | "mutes";
  readonly owner: string;
  readonly already: "USER_ALREADY_BLOCKED" | "USER_ALREADY_MUTED";
  readonly absent: "USER_NOT_BLOCKED" | "USER_NOT_MUTED";
  add(actor: UserId, target: UserId, terms?: EdgeTerms): Promise<EdgeRecord>;
  update(actor: UserId, target: UserId, change: EdgeTermsChange): Promise<Written<EdgeRecord>>;
  remove(actor: UserId, target: UserId): Promise<unknown>;
  list(actor: UserId, limit: number, after?: ListPosition): Promise<EdgeRecord[]>;
}

/** The two lists of a store. */
export function twins(store: () => TestStore): Twin[] {
  return [
    {
      table: "blocks",
      owner: "blocker_id",
      already: "USER_ALREADY_BLOCKED",
      absent: "USER_NOT_BLOCKED",
      add: async (...args) => (await store().blocks.block(...args)).result,
      update: (...args) => store().blocks.update(...args),
      remove: (...args) => store().blocks.unblock(...args),
      list: (...args) => store().blocks.list(...args),
    },
    {
      table: "mutes",
      owner: "muter_id",
      already: "USER_ALREADY_MUTED",
      absent: "USER_NOT_MUTED",
      add: async (...args) => (await store().mutes.mute(...args)).result,
      update: (...args) => store().mutes.update(...args),
      remove: (...args) => store().mutes.unmute(...args),
      list: (...args) => store().mutes.list(...args),
    },
  ];
}

export function describeEdges(store: () => TestStore): void {
  for (const { table, already, add, remove, list } of twins(store)) {
    describe(table, () => {
      it("returns the record, the same that the list shows", async () => {
        const target = someUser({ isVerified: true });
        await store().users.upsert([target]);
        const owner = await store().newUser();
        const record = await add(owner, target.id);
        expect(record.user).to.eql(target);
        expect(record.id).to.match(/^[0-9a-f-]{36}$/);
        expect(record.createdAt).to.be.a("bigint");
        expect(await list(owner, 10)).to.eql([record]);
      });

      it("takes the time from the database's clock", async () => {
        const [owner, first, second] = await store().newUsers(3);
        const earlier = await add(owner as UserId, first as UserId);
        const later = await add(owner as UserId, second as UserId);
        expect(later.createdAt >= earlier.createdAt).to.equal(true);
        const minute = 60_000_000n;
        const now = BigInt(Date.now()) * 1_000n;
        expect(earlier.createdAt > now - minute && earlier.createdAt < now + minute).to.equal(true);
      });

      it("refuses a second record and keeps the first", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        const record = await add(owner, target);
        await expectReason(add(owner, target), already);
        expect(await list(owner, 10)).to.eql([record]);
      });

      it("is the owner's alone", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        await add(owner, target);
        expect(await list(target, 10)).to.eql([]);
        await add(target, owner);
      });

      it("removes a record, and repeats without effect", async () => {
        const [owner, target, other] = (await store().newUsers(3)) as [UserId, UserId, UserId];
        await add(owner, target);
        await add(target, owner);
        const kept = await add(owner, other);
        await remove(owner, target);
        await remove(owner, target);
        expect(await list(owner, 10)).to.eql([kept]);
        expect(await list(target, 10)).to.have.length(1);
      });

      it("makes a new record after a removal", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        const { id } = await add(owner, target);
        await remove(owner, target);
        expect((await add(owner, target)).id).not.to.equal(id);
      });

      it("reports an unknown actor before an unknown target", async () => {
        const known = await store().newUser();
        for (const act of [add, remove]) {
          await expectUnknownActor(act(unknownId(), known));
          await expectUnknownActor(act(unknownId(), unknownId()));
          await expectReason(act(known, unknownId()), "USER_NOT_FOUND");
        }
        await expectUnknownActor(list(unknownId(), 10));
        expect(await list(known, 10)).to.eql([]);
      });

      it("lets one of 40 simultaneous attempts succeed", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        const attempts = Array.from({ length: 40 }, () => add(owner, target));
        expect(await tally(attempts)).to.eql({ ok: 1, [already]: 39 });
        expect(await list(owner, 10)).to.have.length(1);
      });

      it("hides the pictures of a user whose profile-picture audience is none, and only those", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        const pictures = (await store().users.find(target)).profilePictureUrls;
        for (const setting of privacySettings) {
          for (const audience of audiences) {
            await store().settings.set(target, setting, audience);
            await remove(owner, target);
            const record = await add(owner, target);
            const hidden = setting === "profile_picture" && audience === "none";
            expect(record.user.profilePictureUrls, `${setting} ${audience}`).to.eql(hidden ? [] : pictures);
            expect(await list(owner, 10)).to.eql([record]);
          }
          await store().settings.set(target, setting, "all");
        }
      });

      it("uses the target's setting, not the owner's", async () => {
        const [owner, target] = (await store().newUsers(2)) as [UserId, UserId];
        await store().settings.set(owner, "profile_picture", "none");
        expect((await add(owner, target)).user.profilePictureUrls).to.have.length(1);
      });
    });
  }
}
