import { expect } from "chai";
import { sql } from "kysely";
import { allScopes } from "../../src/domain/changes.ts";
import type { UserId } from "../../src/domain/users.ts";
import { timestampOf } from "../../src/store/edges.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { onMovableClock } from "./suite/clocked.ts";
import { type Twin, twins } from "./suite/edges.ts";
import { type EndingEdge, type Reading, readings } from "./suite/expiry-readings.ts";

const minute = 60_000_000n;

for (const backend of [embedded, postgresql]) {
  describe(`the end of a block or mute, on ${backend.backend}`, () => {
    const opened = onMovableClock(backend);
    const edges = twins(() => opened().store);

    for (const twin of edges)
      for (const reading of readings.filter(({ tables }) => tables.includes(twin.table)))
        it(`is exact in ${reading.name}: ${twin.table}`, async () => {
          for (const [before, expected] of [
            [minute, true],
            [1n, true],
            [0n, false],
            [-1n, false],
          ] as const)
            expect(await holdsAt(twin, reading, before), `${before} microseconds before`).to.equal(expected);
        });

    /** Whether a reading shows an edge so many microseconds before its end. */
    async function holdsAt(twin: Twin, reading: Reading, before: bigint): Promise<boolean> {
      const { store, clock } = opened();
      await clock.stopAt(BigInt(Date.now()) * 1_000n + 1n);
      const edge = await addEnding(twin, (await clock.now()) + minute, reading.scopes);
      await clock.stopAt(edge.end - before);
      return reading.holds(store, edge);
    }

    /** Adds an edge that ends at a time, between users of its own. */
    async function addEnding(twin: Twin, end: bigint, scopes = allScopes): Promise<EndingEdge> {
      const { store } = opened();
      const [owner, target] = (await store.newUsers(2)) as [UserId, UserId];
      await twin.add(owner, target);
      const given = twin.table === "mutes" ? sql`, scopes = ${scopes}::int2` : sql``;
      await store.query(sql`
        update ${sql.table(twin.table)} set expires_at = ${timeOf(end)}${given}
        where ${sql.ref(twin.owner)} = ${owner}`);
      return { twin, owner, target, end };
    }
  });
}

const timeOf = (micros: bigint) => timestampOf({ createdAt: micros });
