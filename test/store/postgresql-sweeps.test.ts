import { expect } from "chai";
import { sql } from "kysely";
import pg from "pg";
import type { UserId } from "../../src/domain/users.ts";
import type { Backend } from "../../src/store/database.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { randomOf } from "../resilience/support/random.ts";
import { postgresql } from "../support/backends.ts";
import { rewriteStatements } from "../support/rewritten-statements.ts";
import { until } from "../support/until.ts";
import { onMovableClock } from "./suite/clocked.ts";
import { type Twin, twins } from "./suite/edges.ts";
import { withParameters } from "./suite/postgresql.ts";
import { type TestStore, testStore } from "./suite/store.ts";

const minute = 60_000_000n;
const targetOf = { blocks: "blocked_id", mutes: "muted_id" } as const;
const everything = -1;
const rounds = 30;

const lock = "for update of e skip locked";
const again = /(?<=due_target) and expires_at <= statement_timestamp\(\)/;

/** What sweeps would do without parts of their statement, when somebody renews a record meanwhile. */
const mutants: Readonly<Record<string, (given: string) => string>> = {
  "wait without the lock of the rows": (given) => given.replace(lock, ""),
  "delete a renewed record without the lock and the second look": (given) =>
    given.replace(lock, "").replace(again, ""),
};

interface Logged {
  readonly cause: string | null;
  readonly present: boolean;
  /** In seconds since 1970. */
  readonly at: number;
  readonly expires_at: number | null;
}

describe("sweeps of ended blocks and mutes beside other calls", () => {
  const opened = onMovableClock(postgresql);
  let second: TestStore;
  let holder: pg.Client;
  let backend: Backend;
  let rewrite = (given: string) => given;
  before(async () => {
    const url = opened().url ?? "";
    const patient = withParameters(url, {
      lock_timeout: 60_000,
      statement_timeout: 60_000,
      query_timeout: 60_000,
    });
    backend = await openPostgresql(patient, () => {}, { poolLimits: { acquireTimeoutMs: 60_000 } });
    rewriteStatements(backend, (given) => rewrite(given));
    second = testStore(backend);
    holder = new pg.Client({ connectionString: url });
    await holder.connect();
  });
  after(async () => {
    await holder?.end();
    await second?.close();
  });

  const stores = () => [opened().store, second] as const;
  const now = () => opened().clock.now();

  const logOf = (twin: Twin, owner: UserId, target: UserId) =>
    second.query(sql<Logged>`
      select cause, present, extract(epoch from at)::float8 as at,
        extract(epoch from nullif(expires_at, 'infinity'))::float8 as expires_at
      from changes
      where owner = ${owner} and target = ${target} and kind = ${twin.table.slice(0, -1)} order by seq`);
  const holds = async (twin: Twin, owner: UserId, target: UserId) =>
    (await twin.list(owner, 100)).some(({ user }) => user.id === target);
  const text = (log: readonly Logged[]) =>
    log.map(({ cause, present }) => `${present ? "holds" : "ends"} ${cause}`);

  async function sweepAll(): Promise<void> {
    for (const store of stores()) while ((await store.expiry.sweepExpired()) > 0);
  }

  /** Waits until a statement waits for a lock that is not refused it soon: that of a later attempt. */
  async function untilWaiting(): Promise<void> {
    await until(async () => {
      const { rows } = await holder.query(`
        select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
          and pg_catalog.clock_timestamp() - query_start > '300 ms'`);
      return rows.length > 0;
    });
  }

  for (const twin of twins(() => second)) {
    describe(twin.table, () => {
      const [owner, target] = ["owner", "target"].map((name) =>
        sql.ref(name === "owner" ? twin.owner : targetOf[twin.table]),
      );
      let [ann, bob] = [] as unknown as [UserId, UserId];
      beforeEach(async () => {
        await opened().clock.stopAt(BigInt(Date.now()) * 1_000n);
        await sweepAll();
        [ann, bob] = (await opened().store.newUsers(2)) as [UserId, UserId];
      });

      const addFor = async (minutes: number) => {
        await twin.add(ann, bob, { expiresAt: (await now()) + BigInt(minutes) * minute, scopes: everything });
      };
      /** Runs work while a transaction of the test has locked the row. */
      async function whileLocked(work: () => Promise<void>): Promise<void> {
        await holder.query("begin");
        await holder.query(
          `select from ${twin.table} where ${twin.owner} = $1 and ${targetOf[twin.table]} = $2 for update`,
          [ann, bob],
        );
        try {
          await work();
        } finally {
          await holder.query("rollback");
        }
      }

      it("waits for no lock, and sweeps the row when it is free", async () => {
        await addFor(1);
        await opened().clock.move(minute);
        await whileLocked(async () => {
          for (const store of stores()) expect(await store.expiry.sweepExpired()).to.equal(0);
        });
        expect(await Promise.all(stores().map((store) => store.expiry.sweepExpired()))).to.have.members([
          0, 1,
        ]);
        expect(text(await logOf(twin, ann, bob))).to.eql(["holds user", "ends expiry"]);
      });

      it("leaves a record that was renewed while sweeps were on their way", async () => {
        await addFor(1);
        // The update begins in time and waits for the row; the sweeps begin after the end.
        let update: Promise<unknown> | undefined;
        await whileLocked(async () => {
          update = twin.update(ann, bob, { expiresAt: (await now()) + 10n * minute });
          await untilWaiting();
          await opened().clock.move(minute);
          for (const store of stores()) expect(await store.expiry.sweepExpired()).to.equal(0);
        });
        await update;
        await sweepAll();
        expect(await holds(twin, ann, bob)).to.equal(true);
        expect(text(await logOf(twin, ann, bob))).to.eql(["holds user", "holds user"]);
      });

      it("tells of no end when a new record takes the place of one that has ended: it is a change", async () => {
        await addFor(1);
        await opened().clock.move(minute);
        let again: Promise<unknown> | undefined;
        await whileLocked(async () => {
          again = twin.add(ann, bob);
          await untilWaiting();
          for (const store of stores()) expect(await store.expiry.sweepExpired()).to.equal(0);
        });
        await again;
        await sweepAll();
        expect(await holds(twin, ann, bob)).to.equal(true);
        expect(text(await logOf(twin, ann, bob))).to.eql(["holds user", "holds user"]);
      });

      it("tells of an end and of a new record when the sweep is first", async () => {
        await addFor(1);
        await opened().clock.move(minute);
        await sweepAll();
        await twin.add(ann, bob);
        expect(text(await logOf(twin, ann, bob))).to.eql(["holds user", "ends expiry", "holds user"]);
      });

      for (const [name, mutate] of Object.entries(mutants))
        it(`would ${name}`, async () => {
          await addFor(1);
          await opened().clock.move(minute);
          let sweep: Promise<number> | undefined;
          await holder.query("begin");
          await holder.query(
            `update ${twin.table} set expires_at = 'infinity' where ${twin.owner} = $1 and ${targetOf[twin.table]} = $2`,
            [ann, bob],
          );
          rewrite = mutate;
          try {
            sweep = second.expiry.sweepExpired();
            await untilWaiting();
          } finally {
            await holder.query("commit");
            rewrite = (given) => given;
          }
          const isDeleted = name.startsWith("delete");
          expect(await sweep).to.equal(isDeleted ? 1 : 0);
          expect(await holds(twin, ann, bob)).to.equal(!isDeleted);
        });

      it("leaves what ends with a user who is being erased to the erasure", async () => {
        await addFor(1);
        await opened().clock.move(minute);
        await opened().store.query(sql`update users set erased_at = now() where id = ${bob}`);
        await sweepAll();
        const rows = await second.query(
          sql`select from ${sql.table(twin.table)} where ${owner} = ${ann} and ${target} = ${bob}`,
        );
        expect(rows).to.have.length(1);
        while (await second.users.resumeErasures());
        expect(text(await logOf(twin, ann, bob))).to.eql(["holds user"]);
      });

      it("tells of each end once, whatever comes between, in any order", async () => {
        const { clock, store } = opened();
        const targets = await store.newUsers(5);
        const random = randomOf(7);
        const ignored = [
          "INVALID_EXPIRY",
          "USER_ALREADY_BLOCKED",
          "USER_ALREADY_MUTED",
          "USER_NOT_BLOCKED",
          "USER_NOT_MUTED",
        ];
        const act = async (to: UserId) => {
          const terms = {
            expiresAt: (await now()) + BigInt(1 + random.below(2)) * minute,
            scopes: everything,
          };
          const actions = [
            () => twin.add(ann, to, terms),
            () => twin.update(ann, to, terms),
            () => twin.remove(ann, to),
          ];
          await actions[Math.min(random.below(6), 4) % 3]?.().catch((failure: { reason?: string }) => {
            if (!ignored.includes(failure.reason ?? "")) throw failure;
          });
        };
        for (let round = 0; round < rounds; round++) {
          const sweeps = stores().map((one) => one.expiry.sweepExpired());
          await Promise.all([
            ...sweeps,
            ...targets.map(act),
            ...(round % 2 === 0 ? [clock.move(minute)] : []),
          ]);
        }
        await clock.move(10n * minute);
        await sweepAll();
        let ends = 0;
        for (const to of targets) {
          const log = await logOf(twin, ann, to);
          ends += log.filter(({ cause }) => cause === "expiry").length;
          for (const [i, { present, cause, at }] of log.entries()) {
            if (present) continue;
            const held = log[i - 1];
            expect(held?.present, "what ends held before").to.equal(true);
            expect(cause, `${held?.expires_at} at ${at}`).to.equal(
              (held?.expires_at ?? Number.POSITIVE_INFINITY) <= at ? "expiry" : "user",
            );
          }
          expect(log.at(-1)?.present ?? false).to.equal(false);
        }
        expect(ends).to.be.above(0);
        expect(await twin.list(ann, 10)).to.eql([]);
      });
    });
  }
});
