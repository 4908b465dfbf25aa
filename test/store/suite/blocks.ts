import { expect } from "chai";
import { defaultTerms } from "../../../src/domain/edges.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type TestStore, tally, unknownId } from "./store.ts";

export function describeBlocks(store: () => TestStore): void {
  describe("a block and the other relationships of two users", () => {
    let [ann, bob, carl]: UserId[] = [];
    beforeEach(async () => {
      [ann, bob, carl] = await store().newUsers(3);
      await store().follows.follow(ann as UserId, bob as UserId);
      await store().follows.follow(bob as UserId, ann as UserId);
    });
    const three = () => [ann, bob, carl] as [UserId, UserId, UserId];

    it("ends the follows between the two, and no other", async () => {
      const [ann, bob, carl] = three();
      await store().follows.follow(ann, carl);
      await store().follows.follow(carl, bob);
      await store().blocks.block(ann, bob);
      const { following, followedBy } = await store().follows.relationship(ann, bob);
      expect({ following, followedBy }).to.eql({ following: false, followedBy: false });
      expect((await store().follows.relationship(ann, carl)).following).to.equal(true);
      expect((await store().follows.relationship(carl, bob)).following).to.equal(true);
    });

    it("keeps the mutes of both", async () => {
      const [ann, bob] = three();
      await store().mutes.mute(ann, bob);
      await store().mutes.mute(bob, ann);
      await store().blocks.block(ann, bob);
      const { muting, mutedBy } = await store().follows.relationship(ann, bob);
      expect({ muting, mutedBy }).to.eql({ muting: defaultTerms, mutedBy: defaultTerms });
    });

    it("keeps the follows when it fails", async () => {
      const [ann, bob] = three();
      await store()
        .blocks.block(ann, unknownId())
        .catch(() => {});
      const { following, followedBy } = await store().follows.relationship(ann, bob);
      expect({ following, followedBy }).to.eql({ following: true, followedBy: true });
    });

    it("restores no follow when it is removed", async () => {
      const [ann, bob] = three();
      await store().mutes.mute(ann, bob);
      await store().blocks.block(ann, bob);
      await store().blocks.unblock(ann, bob);
      expect(await store().follows.relationship(ann, bob)).to.eql({
        following: false,
        followedBy: false,
        blocking: null,
        blockedBy: null,
        muting: defaultTerms,
        mutedBy: null,
      });
    });

    it("keeps the other user's block when it is removed", async () => {
      const [ann, bob] = three();
      await store().blocks.block(ann, bob);
      await store().blocks.block(bob, ann);
      await store().blocks.unblock(ann, bob);
      const { blocking, blockedBy } = await store().follows.relationship(ann, bob);
      expect({ blocking, blockedBy }).to.eql({ blocking: null, blockedBy: defaultTerms });
    });

    it("is never crossed by a follow that races with it", async function () {
      this.timeout(60_000);
      const [ann, bob] = three();
      for (let round = 0; round < 200; round++) {
        const outcomes = await tally([
          store().follows.follow(ann, bob),
          store().blocks.block(ann, bob),
          store().follows.follow(bob, ann),
          store().follows.follow(ann, bob),
        ]);
        const { ok = 0, FOLLOW_ACROSS_BLOCK: refused = 0 } = outcomes;
        expect(ok + refused, JSON.stringify(outcomes)).to.equal(4);
        const { following, followedBy, blocking } = await store().follows.relationship(ann, bob);
        expect({ following, followedBy, blocking }, `round ${round}`).to.eql({
          following: false,
          followedBy: false,
          blocking: defaultTerms,
        });
        await store().blocks.unblock(ann, bob);
      }
    });
  });
}
