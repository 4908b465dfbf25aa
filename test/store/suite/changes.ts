import { expect } from "chai";
import type { UserId } from "../../../src/domain/users.ts";
import type { Tick } from "../../../src/store/change-log.ts";
import type { TestStore } from "./store.ts";

export function describeChanges(store: () => TestStore): void {
  describe("the change log", () => {
    it("says what a block changed", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      await store().follows.follow(ann, bob);
      const from = (await store().changes.tick({ force: true })) as Tick;
      await store().blocks.block(ann, bob);
      const to = (await store().changes.tick({ force: true })) as Tick;
      const changes = await store().changes.read(from, to, 0n, 100);
      expect(changes.map(({ kind, cause }) => [kind, cause])).to.eql([
        ["block", "user"],
        ["follow", "block"],
      ]);
    });
  });
}
