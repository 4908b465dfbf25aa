import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../../src/domain/users.ts";
import type { TestStore } from "./store.ts";

export function describeChangeLogFigures(store: () => TestStore): void {
  it("tells how old the change log is, and how many erased users it still names", async () => {
    const [user, other] = (await store().newUsers(2)) as [UserId, UserId];
    await store().blocks.block(user, other);
    await store().changes.tick({ force: true });
    const before = await store().changeLogFigures.read();
    expect(before.tickAge).to.be.within(0, before.oldestChangeAge);
    expect(before.oldestChangeAge).to.be.below(3_600);
    await store().users.delete(user);
    const { erasures } = await store().changeLogFigures.read();
    expect(erasures).to.be.above(0);
    const [row] = await store().query(sql<{ count: number }>`select count(*)::int as count from erasures`);
    expect(erasures).to.equal(row?.count);
  });
}
