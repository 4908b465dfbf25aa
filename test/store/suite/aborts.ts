import { expect } from "chai";
import type { UserId } from "../../../src/domain/users.ts";
import { failureOf, someUser, type TestStore } from "./store.ts";

export function describeAborts(store: () => TestStore): void {
  describe("an aborted call", () => {
    it("rejects with the reason and changes nothing when aborted before the call", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      const reason = new Error("the caller went away");
      const signal = AbortSignal.abort(reason);
      const user = someUser();
      const calls: (() => Promise<unknown>)[] = [
        () => store().users.upsert([user], signal),
        () => store().users.find(ann, signal),
        () => store().users.findByName("a", signal),
        () => store().users.delete(ann, signal),
        () => store().users.isEmpty(signal),
        () => store().follows.follow(ann, bob, signal),
        () => store().follows.unfollow(ann, bob, signal),
        () => store().follows.relationship(ann, bob, signal),
        () => store().blocks.block(ann, bob, undefined, undefined, signal),
        () => store().blocks.update(ann, bob, {}, signal),
        () => store().blocks.unblock(ann, bob, signal),
        () => store().blocks.list(ann, 1, undefined, signal),
        () => store().mutes.mute(ann, bob, undefined, undefined, signal),
        () => store().mutes.update(ann, bob, {}, signal),
        () => store().mutes.unmute(ann, bob, signal),
        () => store().mutes.list(ann, 1, undefined, signal),
        () => store().settings.get(ann, signal),
        () => store().settings.set(ann, "groups", "none", signal),
        () => store().signingKey(signal),
        () => store().assertMigrated(signal),
        () => store().ping(signal),
      ];
      for (const call of calls) expect(await failureOf(call()), String(call)).to.equal(reason);
      expect(await store().users.findByName(user.userName)).to.eql([]);
      expect(await store().blocks.list(ann, 1)).to.eql([]);
      expect((await store().settings.get(ann)).groups).to.equal("all");
    });

    it("rejects with the reason when aborted during the call, and the store stays usable", async () => {
      const [ann, ...others] = (await store().newUsers(41)) as [UserId, ...UserId[]];
      const reason = new Error("the caller went away");
      for (let round = 0; round < 20; round++) {
        const controller = new AbortController();
        const calls = others.map((other) =>
          store().blocks.block(ann, other, undefined, undefined, controller.signal),
        );
        setTimeout(() => controller.abort(reason), round / 2);
        const outcomes = await Promise.allSettled(calls);
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") expect(outcome.reason).to.equal(reason);
        }
        await store().ping();
        for (const other of others) await store().blocks.unblock(ann, other);
      }
    });
  });
}
