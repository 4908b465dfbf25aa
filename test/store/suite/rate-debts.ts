import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { sql } from "kysely";
import type { TestStore } from "./store.ts";

export function describeRateDebts(store: () => TestStore): void {
  describe("what callers owe", () => {
    const owed = async (debts: { key: string; ms: number }[]) =>
      new Map((await store().rateDebts.add(debts)).map(({ key, ms }) => [key, ms]));

    it("adds up", async () => {
      const [ada, bob] = [`writes ${randomUUID()}`, `writes ${randomUUID()}`];
      const first = await owed([
        { key: ada, ms: 3_600_000 },
        { key: bob, ms: 100 },
      ]);
      expect(first.get(ada)).to.equal(3_600_000);
      expect(first.get(bob)).to.equal(100);
      const second = await owed([{ key: ada, ms: 3_600_000 }]);
      expect(second.get(ada)).to.be.within(7_000_000, 7_200_000);
    });

    it("is forgiven with time, and never less than nothing", async () => {
      const key = `writes ${randomUUID()}`;
      await owed([{ key, ms: 0 }]);
      await store().query(sql`update rate_debts set clear_at = clear_at - interval '1 hour'`);
      expect((await owed([{ key, ms: 500 }])).get(key)).to.be.within(499, 501);
    });

    it("is forgotten when it is gone", async () => {
      const [ada, bob] = [`writes ${randomUUID()}`, `writes ${randomUUID()}`];
      await owed([{ key: ada, ms: 3_600_000 }]);
      await owed([{ key: bob, ms: -1_000 }]);
      await store().rateDebts.forget();
      const [row] = await store().query(
        sql<{ gone: string }>`select count(*) as gone from rate_debts where clear_at < now()`,
      );
      expect(Number(row?.gone)).to.equal(0);
      expect((await owed([{ key: ada, ms: 0 }])).get(ada)).to.be.greaterThan(3_000_000);
    });

    it("names nobody", async () => {
      const user = randomUUID();
      await owed([{ key: `writes ${user}`, ms: 1_000 }]);
      const rows = await store().query(sql<{ caller: string }>`select caller from rate_debts`);
      expect(JSON.stringify(rows)).not.to.contain(user);
    });

    it("adds up when many add at once", async () => {
      const keys = Array.from({ length: 50 }, () => `writes ${randomUUID()}`);
      const batch = (of: string[]) => owed(of.map((key) => ({ key, ms: 3_600_000 })));
      await Promise.all(Array.from({ length: 8 }, (_, i) => batch(i % 2 === 0 ? keys : keys.toReversed())));
      for (const ms of (await batch(keys)).values()) expect(ms).to.be.within(9 * 3_500_000, 9 * 3_600_000);
    });
  });
}
