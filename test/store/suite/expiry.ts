import { expect } from "chai";
import { sql } from "kysely";
import type { ImportRecord } from "../../../src/domain/imports.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Twin, twins } from "./edges.ts";
import { edgeRecord } from "./imports.ts";
import { databaseNow, expectReason, type TestStore, unknownId } from "./store.ts";

const targetOf = { blocks: "blocked_id", mutes: "muted_id" } as const;

/** A record of an edge, as far as it is there, whether it has ended or not. */
interface StoredEdge {
  readonly id: string;
  readonly expires_at: string;
  readonly is_new: boolean;
}

interface LoggedEdge {
  readonly cause: string | null;
  readonly present: boolean;
  readonly expires_at: string | null;
}

export function describeExpiry(store: () => TestStore): void {
  const now = () => databaseNow(store());

  /** Sets when an edge ends, in milliseconds from now. Returns that time in microseconds since 1970. */
  async function expireIn({ table, owner }: Twin, by: UserId, to: UserId, ms: number): Promise<bigint> {
    const [row] = await store().query(sql<{ micros: string }>`
      update ${sql.table(table)} set expires_at = clock_timestamp() + ${ms}::int * interval '1 millisecond'
      where ${sql.ref(owner)} = ${by} and ${sql.ref(targetOf[table])} = ${to}
      returning (extract(epoch from expires_at) * 1000000)::bigint::text as micros`);
    return BigInt(row?.micros ?? "");
  }

  const rowsOf = ({ table, owner }: Twin, by: UserId) =>
    store().query(sql<StoredEdge>`
      select id, expires_at::text, created_at > now() - interval '1 minute' as is_new from ${sql.table(table)}
      where ${sql.ref(owner)} = ${by}`);

  const logOf = ({ table }: Twin, by: UserId) =>
    store().query(sql<LoggedEdge>`
      select cause, present, expires_at::text from changes
      where owner = ${by} and kind = ${table.slice(0, -1)} order by seq`);

  /** Sweeps until nothing is left, also of what other tests leave behind. Returns how many rows went. */
  async function sweepAll(): Promise<number> {
    let total = 0;
    for (let swept = -1; swept !== 0; total += swept) swept = await store().expiry.sweepExpired();
    return total;
  }

  const kindOf = ({ table }: Twin) => (table === "blocks" ? "block" : "mute");
  const imported = (record: ImportRecord) =>
    store().imports.store({ service: "tests", id: unknownId() }, 0, [record]);

  for (const twin of twins(store)) {
    describe(`the expiry of ${twin.table}`, () => {
      let [ann, bob] = [] as unknown as [UserId, UserId];
      beforeEach(async () => {
        [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      });

      /** Whether each method that reads an edge of the two finds it. */
      const readings: Record<string, () => Promise<boolean>> = {
        list: async () => (await twin.list(ann, 10)).length > 0,
        "later page": async () => {
          const after = { createdAt: 10n ** 16n, id: unknownId() };
          return (await twin.list(ann, 10, after)).length > 0;
        },
        relationship: async () => {
          const { blocking, muting } = await store().follows.relationship(ann, bob);
          return blocking !== null || muting !== null;
        },
        "relationship of the other": async () => {
          const { blockedBy, mutedBy } = await store().follows.relationship(bob, ann);
          return blockedBy !== null || mutedBy !== null;
        },
        decision: async () => {
          const [facts] = await store().relationshipFacts.read([
            { viewer: ann, owner: bob, muteScope: 1, setting: null },
          ]);
          return facts?.blocking === true || facts?.muting === true;
        },
        decisions: async () => {
          const query = { viewer: ann, owner: bob, muteScope: 2, setting: null };
          const [, facts] = await store().relationshipFacts.read([query, query]);
          return facts?.blocking === true || facts?.muting === true;
        },
      };

      for (const [name, reading] of Object.entries(readings)) {
        it(`is exact by the database's clock: ${name}`, async () => {
          await twin.add(ann, bob);
          const end = await expireIn(twin, ann, bob, 150);
          let hasEnded = false;
          while (!hasEnded) {
            const from = await now();
            const found = await reading();
            const to = await now();
            hasEnded = from >= end;
            if (to < end) expect(found, "before the end").to.equal(true);
            if (hasEnded) expect(found, "at the end and later").to.equal(false);
          }
          // The row is still there.
          expect(await rowsOf(twin, ann)).to.have.length(1);
        });
      }

      it("makes room for a new record over one that has ended, with a new id and time", async () => {
        const { id } = await twin.add(ann, bob);
        await store().query(sql`
          update ${sql.table(twin.table)} set created_at = now() - interval '1 day'
          where ${sql.ref(twin.owner)} = ${ann}`);
        await expireIn(twin, ann, bob, 3_600_000);
        await expectReason(twin.add(ann, bob), twin.already);
        await expireIn(twin, ann, bob, 0);
        const record = await twin.add(ann, bob);
        expect(record.id).to.not.equal(id);
        expect(await rowsOf(twin, ann)).to.eql([{ id: record.id, expires_at: "infinity", is_new: true }]);
        expect(await twin.list(ann, 10)).to.eql([record]);
        await expectReason(twin.add(ann, bob), twin.already);
      });

      it("lets one that has ended be removed, and logs that it ended", async () => {
        await twin.add(ann, bob);
        await expireIn(twin, ann, bob, 0);
        await twin.remove(ann, bob);
        await twin.remove(ann, bob);
        expect(await rowsOf(twin, ann)).to.eql([]);
        const log = await logOf(twin, ann);
        expect(log.map(({ cause, present }) => [cause, present]).slice(2)).to.eql([["expiry", false]]);
      });

      it("lets an import take the place of one that has ended, and of no other", async () => {
        const { id } = await twin.add(ann, bob);
        const record = edgeRecord(kindOf(twin), ann, bob, 5n);
        expect((await imported(record)).progress).to.include({ stored: 0, unchanged: 1 });
        await expireIn(twin, ann, bob, 0);
        expect((await imported(record)).progress).to.include({ stored: 1, unchanged: 0 });
        const [row] = await rowsOf(twin, ann);
        expect(row?.id).to.not.equal(id);
        expect(row).to.include({ expires_at: "infinity", is_new: false });
      });

      it("is swept once it has ended, and logged once", async () => {
        const [carl] = (await store().newUsers(1)) as [UserId];
        await twin.add(ann, bob);
        await twin.add(ann, carl);
        await expireIn(twin, ann, bob, 0);
        await expireIn(twin, ann, carl, 3_600_000);
        expect(await sweepAll()).to.be.at.least(1);
        expect(await rowsOf(twin, ann)).to.have.length(1);
        const log = await logOf(twin, ann);
        expect(log.map(({ cause, present }) => [cause, present]).slice(4)).to.eql([["expiry", false]]);
        expect(await store().expiry.sweepExpired()).to.equal(0);
      });

      it("is swept in several runs when much has ended", async () => {
        const others = await store().newUsers(1_050);
        await sweepAll();
        await store().query(sql`
          insert into ${sql.table(twin.table)}
            (${sql.ref(twin.owner)}, ${sql.ref(targetOf[twin.table])}, id, created_at, expires_at)
          select ${ann}, id, gen_random_uuid(), now(), now() from unnest(${others}::uuid[]) id`);
        const runs = [0, 0, 0, 0];
        for (const run of runs.keys()) runs[run] = await store().expiry.sweepExpired();
        expect(runs).to.eql([500, 500, 50, 0]);
        expect(await rowsOf(twin, ann)).to.eql([]);
      });

      it("is told once for each end, whatever sweeps and new records come between", async () => {
        const targets = await store().newUsers(6);
        let running = true;
        const sweeper = async () => {
          while (running) await store().expiry.sweepExpired();
        };
        const user = async (target: UserId) => {
          const { random, floor } = Math;
          for (let round = 0; round < 16; round++) {
            await twin.add(ann, target).catch((failure: { reason?: string }) => {
              if (failure.reason !== twin.already) throw failure;
            });
            // A few milliseconds, or without an end: of those that have one, some are made longer in time.
            const ms = random() < 0.3 ? null : floor(random() * 30) - 5;
            await store().query(sql`
              update ${sql.table(twin.table)}
              set expires_at = coalesce(clock_timestamp() + ${ms}::int * interval '1 millisecond', 'infinity')
              where ${sql.ref(twin.owner)} = ${ann} and ${sql.ref(targetOf[twin.table])} = ${target}
                and expires_at > clock_timestamp()`);
          }
        };
        const sweepers = [sweeper(), sweeper()];
        await Promise.all(targets.map(user)).finally(() => {
          running = false;
        });
        await Promise.all(sweepers);
        await store().query(sql`select pg_sleep(0.05)`);
        await sweepAll();

        const log = await store().query(sql<LoggedEdge & { target: string }>`
          select target, cause, present, expires_at::text from changes
          where owner = ${ann} and kind = ${kindOf(twin)} order by target, seq`);
        const held = new Map<string, string | null>();
        let ends = 0;
        for (const { target, cause, present, expires_at } of log) {
          if (present) held.set(target, expires_at);
          else {
            expect(cause).to.equal("expiry");
            expect(held.get(target), "the end of what held until then").to.match(/^\d/);
            held.delete(target);
            ends++;
          }
        }
        expect(ends).to.be.above(0);
        const standing = await store().query(sql<{ target: string }>`
          select ${sql.ref(targetOf[twin.table])} as target from ${sql.table(twin.table)}
          where ${sql.ref(twin.owner)} = ${ann}`);
        expect([...held.keys()].sort()).to.eql(standing.map(({ target }) => target).sort());
      });
    });
  }
}
