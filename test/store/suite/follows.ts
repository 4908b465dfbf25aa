import { expect } from "chai";
import { allScopes } from "../../../src/domain/changes.ts";
import { defaultTerms, type EdgeTerms } from "../../../src/domain/edges.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { countFollows, databaseNow, expectReason, type TestStore, unknownId } from "./store.ts";

const nothing = {
  following: false,
  followedBy: false,
  blocking: null,
  blockedBy: null,
  muting: null,
  mutedBy: null,
};

export function describeFollows(store: () => TestStore): void {
  describe("follows", () => {
    let [ann, bob]: UserId[] = [];
    beforeEach(async () => {
      [ann, bob] = await store().newUsers(2);
    });
    const pair = () => [ann, bob] as [UserId, UserId];

    it("follows once, and repeats without effect", async () => {
      const [ann, bob] = pair();
      await store().follows.follow(ann, bob);
      await store().follows.follow(ann, bob);
      expect(await countFollows(store(), ann, bob)).to.equal(1);
    });

    it("unfollows, and repeats without effect", async () => {
      const [ann, bob] = pair();
      await store().follows.follow(ann, bob);
      await store().follows.follow(bob, ann);
      await store().follows.unfollow(ann, bob);
      await store().follows.unfollow(ann, bob);
      expect(await store().follows.relationship(ann, bob)).to.eql({ ...nothing, followedBy: true });
    });

    it("unfollows unknown users", async () => {
      const token = await store().follows.unfollow(unknownId(), unknownId());
      expect(token.kind).to.equal("state");
    });

    it("refuses an unknown user on either side", async () => {
      const [ann] = pair();
      await expectReason(store().follows.follow(ann, unknownId()), "USER_NOT_FOUND");
      await expectReason(store().follows.follow(unknownId(), ann), "USER_NOT_FOUND");
      await expectReason(store().follows.follow(unknownId(), unknownId()), "USER_NOT_FOUND");
    });

    it("refuses to follow across a block, in both directions", async () => {
      const [ann, bob] = pair();
      await store().blocks.block(ann, bob);
      await expectReason(store().follows.follow(ann, bob), "FOLLOW_ACROSS_BLOCK");
      await expectReason(store().follows.follow(bob, ann), "FOLLOW_ACROSS_BLOCK");
      expect(await store().follows.relationship(ann, bob)).to.eql({ ...nothing, blocking: defaultTerms });
    });

    it("follows again after the block", async () => {
      const [ann, bob] = pair();
      await store().blocks.block(ann, bob);
      await store().blocks.unblock(ann, bob);
      await store().follows.follow(bob, ann);
      expect(await countFollows(store(), bob, ann)).to.equal(1);
    });

    it("follows across a mute", async () => {
      const [ann, bob] = pair();
      await store().mutes.mute(ann, bob);
      await store().follows.follow(bob, ann);
      expect(await countFollows(store(), bob, ann)).to.equal(1);
    });

    const acts = {
      following: ["followedBy", (a: UserId, b: UserId) => store().follows.follow(a, b), () => true],
      blocking: [
        "blockedBy",
        (a: UserId, b: UserId, terms: EdgeTerms) => store().blocks.block(a, b, terms),
        (terms: EdgeTerms) => ({ ...terms, scopes: allScopes }),
      ],
      muting: [
        "mutedBy",
        (a: UserId, b: UserId, terms: EdgeTerms) => store().mutes.mute(a, b, terms),
        (terms: EdgeTerms) => terms,
      ],
    } as const;
    for (const [name, [mirrored, act, found]] of Object.entries(acts)) {
      it(`distinguishes ${name} from ${mirrored}, with its terms`, async () => {
        const [ann, bob] = pair();
        const terms = { expiresAt: (await databaseNow(store())) + 3_600_000_001n, scopes: 2 };
        await act(ann, bob, terms);
        const value = found(terms);
        expect(await store().follows.relationship(ann, bob)).to.eql({ ...nothing, [name]: value });
        expect(await store().follows.relationship(bob, ann)).to.eql({ ...nothing, [mirrored]: value });
      });
    }

    it("has no relationship between strangers, or of a user with itself", async () => {
      const [ann, bob] = pair();
      expect(await store().follows.relationship(ann, ann)).to.eql(nothing);
      expect(await store().follows.relationship(ann, bob)).to.eql(nothing);
    });

    it("has no relationship with an unknown user", async () => {
      const [ann] = pair();
      await expectReason(store().follows.relationship(ann, unknownId()), "USER_NOT_FOUND");
      await expectReason(store().follows.relationship(unknownId(), ann), "USER_NOT_FOUND");
    });
  });
}
