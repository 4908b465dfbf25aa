import { expect } from "chai";
import { sql } from "kysely";
import { allScopes } from "../../src/domain/changes.ts";
import type { UserId } from "../../src/domain/users.ts";
import { timestampOf } from "../../src/store/edges.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { onMovableClock } from "./suite/clocked.ts";
import { type Twin, twins } from "./suite/edges.ts";
import { mutantsOf } from "./suite/expiry-mutants.ts";
import { type EndingEdge, type Reading, readings } from "./suite/expiry-readings.ts";
import { expectReason } from "./suite/store.ts";

const minute = 60_000_000n;

const timeOf = (micros: bigint) => timestampOf({ createdAt: micros });
const readingsOf = ({ table }: Twin) => readings.filter(({ tables }) => tables.includes(table));

/** A reading of an edge that ends in so many microseconds. */
interface Case {
  readonly twin: Twin;
  readonly reading: Reading;
  readonly before: bigint;
}

for (const backend of [embedded, postgresql]) {
  describe(`the end of a block or mute, on ${backend.backend}`, () => {
    const opened = onMovableClock(backend);
    const edges = twins(() => opened().store);

    for (const twin of edges)
      for (const reading of readingsOf(twin))
        it(`is exact in ${reading.name}: ${twin.table}`, async () => {
          for (const [before, expected] of [
            [minute, true],
            [1n, true],
            [0n, false],
            [-1n, false],
          ] as const)
            expect(
              await reading.holds(opened().store, await arrange(twin, reading, before)),
              `${before} microseconds before`,
            ).to.equal(expected);
        });

    for (const twin of edges) {
      const inTime = async (): Promise<[name: string, time: bigint, isAllowed: boolean][]> => {
        const { store, clock } = opened();
        await clock.stopAt(BigInt(Date.now()) * 1_000n + 1n);
        const now = await clock.now();
        const [row] = await store.query(sql<{ micros: string }>`
          select (extract(epoch from now() + interval '10 years') * 1000000)::bigint::text as micros`);
        const tenYears = BigInt(row?.micros ?? 0);
        return [
          ["a microsecond less than a minute", now + minute - 1n, false],
          ["a minute", now + minute, true],
          ["ten years", tenYears, true],
          ["a microsecond more than ten years", tenYears + 1n, false],
          ["a time in the past", now - minute, false],
        ];
      };

      it(`may be chosen from a minute to ten years ahead: a new record of ${twin.table}`, async () => {
        for (const [name, expiresAt, isAllowed] of await inTime()) {
          const [owner, target] = (await opened().store.newUsers(2)) as [UserId, UserId];
          await opened().store.follows.follow(target, owner);
          const added = twin.add(owner, target, { expiresAt, scopes: allScopes });
          if (isAllowed) expect((await added).expiresAt, name).to.equal(expiresAt);
          else await expectReason(added, "INVALID_EXPIRY");
          expect((await twin.list(owner, 10)).map((record) => record.expiresAt)).to.eql(
            isAllowed ? [expiresAt] : [],
          );
          const { followedBy } = await opened().store.follows.relationship(owner, target);
          expect(followedBy, `the follow, with ${name}`).to.equal(!isAllowed || twin.table === "mutes");
        }
      });

      it(`may be chosen from a minute to ten years ahead: a change of ${twin.table}`, async () => {
        for (const [name, expiresAt, isAllowed] of await inTime()) {
          const [owner, target] = (await opened().store.newUsers(2)) as [UserId, UserId];
          const before = await twin.add(owner, target);
          const updated = twin.update(owner, target, { expiresAt });
          if (isAllowed) expect((await updated).result.expiresAt, name).to.equal(expiresAt);
          else await expectReason(updated, "INVALID_EXPIRY");
          expect(await twin.list(owner, 10)).to.eql([{ ...before, expiresAt: isAllowed ? expiresAt : null }]);
        }
      });
    }

    if (backend === embedded)
      it("is found wrong when any statement has any other condition of it", async function () {
        this.timeout(600_000);
        const unexpected: string[] = [];
        let count = 0;
        for (const [text, cases] of await recordCases())
          for (const mutant of mutantsOf(text)) {
            count++;
            const rewrite = (given: string) => (given === text ? mutant.text : given);
            if ((await isFoundWrong(cases, rewrite)) === mutant.isEquivalent) unexpected.push(mutant.name);
          }
        expect(count).to.be.above(100);
        expect(unexpected).to.eql([]);
      });

    /** The statements that readings send, and the readings that send each. */
    async function recordCases(): Promise<Map<string, Case[]>> {
      const cases = new Map<string, Case[]>();
      for (const twin of edges)
        for (const reading of readingsOf(twin))
          for (const before of [1n, 0n]) {
            const one = { twin, reading, before };
            await isFoundWrong([one], (text) => {
              if (!cases.get(text)?.includes(one)) cases.set(text, [...(cases.get(text) ?? []), one]);
              return text;
            });
          }
      return cases;
    }

    /** Whether a reading is wrong when statements are rewritten: each reading begins with the original ones. */
    async function isFoundWrong(cases: readonly Case[], rewrite: (text: string) => string): Promise<boolean> {
      for (const { twin, reading, before } of cases) {
        const edge = await arrange(twin, reading, before);
        opened().rewrite = rewrite;
        const holds = await reading.holds(opened().store, edge).catch(() => undefined);
        opened().rewrite = (text) => text;
        if (holds !== before > 0n) return true;
      }
      return false;
    }

    /** Adds an edge, and moves the clock to so many microseconds before its end. */
    async function arrange(twin: Twin, { scopes }: Reading, before: bigint): Promise<EndingEdge> {
      const { store, clock } = opened();
      // A sweep has nothing else to do.
      await store.query(sql`delete from blocks`);
      await store.query(sql`delete from mutes`);
      await clock.stopAt(BigInt(Date.now()) * 1_000n + 1n);
      const edge = await addEnding(twin, (await clock.now()) + minute, scopes);
      await clock.stopAt(edge.end - before);
      return edge;
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
