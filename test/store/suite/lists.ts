import { expect } from "chai";
import { sql } from "kysely";
import type { EdgeRecord, ListPosition } from "../../../src/domain/edges.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Twin, twins } from "./edges.ts";
import type { TestStore } from "./store.ts";

const someMicros = 1_767_225_600_123_456n;

export function describeLists(store: () => TestStore): void {
  for (const twin of twins(store)) {
    describe(`the list of ${twin.table}`, () => {
      /** An owner with as many records as there are times, in microseconds. */
      async function ownerOf(times: bigint[]): Promise<UserId> {
        const [owner, ...targets] = await store().newUsers(times.length + 1);
        for (const target of targets) await twin.add(owner as UserId, target);
        const records = await twin.list(owner as UserId, times.length);
        for (const [i, { id }] of records.entries()) await setTime(id, times[i] ?? 0n);
        return owner as UserId;
      }

      async function setTime(id: string, micros: bigint): Promise<void> {
        const moment = `${new Date(Number(micros / 1_000n)).toISOString().slice(0, -1)}${String(micros % 1_000n).padStart(3, "0")}Z`;
        await store().query(
          sql`update ${sql.table(twin.table)} set created_at = ${moment}::timestamptz where id = ${id}`,
        );
      }

      it("is newest first, to the microsecond", async () => {
        const times = [3n, 1n, 2n, 5n, 4n].map((micros) => someMicros + micros);
        const owner = await ownerOf(times);
        const found = (await twin.list(owner, 10)).map(({ createdAt }) => createdAt);
        expect(found).to.eql([5n, 4n, 3n, 2n, 1n].map((micros) => someMicros + micros));
      });

      it("orders records of one moment by id, descending", async () => {
        const owner = await ownerOf(Array(12).fill(someMicros));
        const ids = (await twin.list(owner, 20)).map(({ id }) => id);
        expect(ids).to.eql([...ids].sort().reverse());
      });

      it("returns no more than the limit", async () => {
        const owner = await ownerOf([1n, 2n, 3n].map((n) => someMicros + n));
        expect(await twin.list(owner, 2)).to.eql((await twin.list(owner, 10)).slice(0, 2));
      });

      it("pages without a gap or a repeat, over ties and neighbouring microseconds", async () => {
        const owner = await ownerOf(Array.from({ length: 24 }, (_, i) => someMicros + BigInt(i % 5)));
        const whole = await twin.list(owner, 100);
        for (const size of [1, 2, 3, 7, 24])
          expect(await pages(twin, owner, size), `pages of ${size}`).to.eql(whole);
      });

      it("finds nothing after the last record", async () => {
        const owner = await ownerOf([someMicros]);
        expect(await twin.list(owner, 10, (await twin.list(owner, 1))[0])).to.eql([]);
      });

      it("accepts any position", async () => {
        const owner = await ownerOf([someMicros]);
        const id = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        expect(await twin.list(owner, 10, { createdAt: -1n, id })).to.eql([]);
        expect(await twin.list(owner, 10, { createdAt: someMicros - 1n, id })).to.eql([]);
        expect(await twin.list(owner, 10, { createdAt: someMicros, id })).to.have.length(1);
        expect(await twin.list(owner, 10, { createdAt: 4_000_000_000_000_001n, id })).to.have.length(1);
      });

      it("continues after a record that was removed, while others are added and removed", async () => {
        const owner = await ownerOf(Array.from({ length: 12 }, (_, i) => someMicros + BigInt(i >> 1)));
        const whole = await twin.list(owner, 100);
        const [newcomer] = (await store().newUsers(1)) as [UserId];
        const first = whole.slice(0, 4);
        const position = first.at(-1) as EdgeRecord;
        await twin.remove(owner, position.user.id);
        await twin.remove(owner, (whole[1] as EdgeRecord).user.id);
        await twin.remove(owner, (whole[6] as EdgeRecord).user.id);
        await twin.add(owner, newcomer);
        const rest = await twin.list(owner, 100, position);
        expect(rest).to.eql(whole.slice(4).filter((record) => record !== whole[6]));
      });

      it("does not stop at a record whose user was erased", async () => {
        const owner = await ownerOf([1n, 2n, 3n].map((n) => someMicros + n));
        const whole = await twin.list(owner, 10);
        await store().users.delete((whole[1] as EdgeRecord).user.id);
        expect(await pages(twin, owner, 1)).to.eql([whole[0], whole[2]]);
      });
    });
  }
}

async function pages(twin: Twin, owner: UserId, size: number): Promise<EdgeRecord[]> {
  const all: EdgeRecord[] = [];
  let after: ListPosition | undefined;
  for (;;) {
    const page = await twin.list(owner, size, after);
    all.push(...page);
    after = page.at(-1);
    if (after === undefined) return all;
  }
}
