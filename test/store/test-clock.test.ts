import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../src/domain/users.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { onMovableClock } from "./suite/clocked.ts";

const second = 1_000_000n;
const minute = 60n * second;
/** A plan that was made for the values of its first executions is replaced by one for all values after five. */
const executions = 12;

for (const backend of [embedded, postgresql]) {
  describe(`the clock that tests move, on ${backend.backend}`, () => {
    const opened = onMovableClock(backend);
    let [ann, bob] = [] as unknown as [UserId, UserId];
    beforeEach(async () => {
      [ann, bob] = (await opened().store.newUsers(2)) as [UserId, UserId];
      await opened().clock.stopAt(BigInt(Date.now()) * 1_000n);
    });

    /** Blocks, and lets the block end in so many microseconds. */
    async function blockFor(micros: bigint): Promise<void> {
      await opened().store.blocks.block(ann, bob);
      await opened().store.query(sql`
        update blocks set expires_at = clock_timestamp() + ${`${micros} microseconds`}::interval where blocker_id = ${ann}`);
    }

    it("stands still when it is stopped, for every function", async () => {
      const { store, clock } = opened();
      const expected = await clock.now();
      for (let i = 0; i < 3; i++) {
        const [shown] = await store.query(sql<Record<string, string>>`
          select extract(epoch from now()) * 1000000 as now, extract(epoch from clock_timestamp()) * 1000000 as clock,
            extract(epoch from statement_timestamp()) * 1000000 as statement`);
        expect(Object.values(shown ?? {}).map((micros) => BigInt(Math.round(Number(micros))))).to.eql([
          expected,
          expected,
          expected,
        ]);
      }
    });

    it("is moved by exactly what is asked for, back and forth, over years", async () => {
      const { clock } = opened();
      const from = await clock.now();
      let moved = 0n;
      for (const by of [1n, -2n, 59n * second + 999_999n, 3_650n * 1_440n * minute, -minute]) {
        await clock.move(by);
        moved += by;
        expect((await clock.now()) - from).to.equal(moved);
      }
    });

    it("is followed by statements that were planned and prepared before it was moved", async () => {
      const { store, clock } = opened();
      await blockFor(minute);
      const isBlocked = async () => {
        const query = { viewer: ann, owner: bob, muteScope: 0, setting: null };
        const [one] = await store.relationshipFacts.read([query]);
        const [two] = await store.relationshipFacts.read([query, query]);
        const relationship = await store.follows.relationship(ann, bob);
        return [one?.blocking, two?.blocking, relationship.blocking !== null];
      };
      for (const [by, expected] of [
        [minute - 1n, true],
        [1n, false],
        [-1n, true],
      ] as const) {
        await clock.move(by);
        // At once too: more connections than one.
        const answers = await Promise.all(Array.from({ length: executions }, isBlocked));
        expect(answers.flat()).to.eql(answers.flat().map(() => expected));
      }
    });

    it("is followed by the triggers of the change log, and by the defaults of its columns", async () => {
      const { store, clock } = opened();
      const removed = async () => {
        await store.blocks.unblock(ann, bob);
        const rows = await store.query(sql<{ cause: string; at: string }>`
          select cause, (extract(epoch from at) * 1000000)::bigint::text as at from changes
          where owner = ${ann} and kind = 'block' and not present order by seq desc limit 1`);
        return rows.map(({ cause, at }) => ({ cause, at: BigInt(at) }));
      };
      await blockFor(minute);
      await clock.move(minute - 1n);
      expect(await removed()).to.eql([{ cause: "user", at: await clock.now() }]);
      await blockFor(minute);
      await clock.move(minute);
      expect(await removed()).to.eql([{ cause: "expiry", at: await clock.now() }]);
    });

    it("is in the tokens of writes, as the change log has them", async () => {
      const { store } = opened();
      const { token } = await store.blocks.block(ann, bob);
      expect(await store.consistency.isSatisfied(token)).to.equal(true);
      const at = await opened().clock.now();
      expect(token).to.include({ kind: "write", at });
    });
  });
}

describe("the SQL of the service", () => {
  it("asks for the time by the functions that tests replace, and without their schema", () => {
    // When a migration was applied is shown to operators, and nothing else.
    const files = readdirSync("src/store", { recursive: true, encoding: "utf8" }).filter(
      (name) => name.endsWith(".ts") && name !== join("migrations", "migrate.ts"),
    );
    const fixed =
      /\b(current_(timestamp|date|time)|localtime(stamp)?|transaction_timestamp|timeofday|pg_catalog)\b/i;
    const found = files.filter((name) => fixed.test(readFileSync(join("src/store", name), "utf8")));
    expect(files).to.have.length.above(30);
    expect(found).to.eql([]);
  });
});
