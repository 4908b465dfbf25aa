import { expect } from "chai";
import { type RawBuilder, sql } from "kysely";
import type { PrivacyError } from "../../src/domain/errors.ts";
import type { UserId } from "../../src/domain/users.ts";
import type { Backend } from "../../src/store/database.ts";
import { type Run, retry, type SqlExecutor } from "../../src/store/executor.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, tally, unknownId } from "./suite/store.ts";

const attempts = 4;
const poolSize = 16;

/** The reason with which a call is refused. */
async function reasonOf(call: Promise<unknown>): Promise<unknown> {
  return ((await failureOf(call)) as PrivacyError).reason;
}

describe("retries on PostgreSQL", () => {
  const store = onPostgresql();
  let backend: Backend;
  let executor: SqlExecutor;
  let [ann, bob] = [] as unknown as [UserId, UserId];

  before(async () => {
    backend = await openPostgresql(store().url, () => {});
    executor = backend.executor;
    await change(sql`create table marks (name text primary key, count integer not null)`);
  });
  after(() => backend?.close());
  beforeEach(async () => {
    [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
  });
  afterEach(() => store().admin.query("rollback"));

  const change = (statement: RawBuilder<unknown>) => executor.transaction((run) => run(statement));

  /** Counts up; who waits for the row has done it twice if it was done at all. */
  const mark = (name: string): RawBuilder<unknown> =>
    sql`insert into marks values (${name}, 1) on conflict (name) do update set count = marks.count + 1`;
  async function countOf(name: string): Promise<number> {
    const [row] = await store().query(sql<{ count: number }>`select count from marks where name = ${name}`);
    return row?.count ?? 0;
  }

  /** Ends a connection as an administrator does, and waits until the server has let go of it. */
  async function endConnection(pid: number | undefined): Promise<void> {
    const { rows } = await store().admin.query("select pg_terminate_backend($1, 10000) as ended", [pid]);
    expect(rows).to.eql([{ ended: true }]);
  }
  const pidOf = async (run: Run) => (await run(sql<{ pid: number }>`select pg_backend_pid() as pid`))[0]?.pid;
  const waitingPid = async () => (await store().running()).find(({ waits }) => waits)?.pid;

  /** Holds the lock on which `lock()` waits until `rollback`. */
  async function holdLock(): Promise<void> {
    await store().admin.query("begin; select pg_advisory_xact_lock(7, 7)");
  }
  const lock = () => sql`select pg_advisory_xact_lock(7, 7)`;

  it("are made for both sides of a deadlock until both succeed", async function () {
    this.timeout(15_000);
    const names = [unknownId(), unknownId()] as const;
    for (const name of names) await change(mark(name));
    let runs = 0;
    const bothReached = Promise.withResolvers<void>();
    const crossing = (first: string, second: string) =>
      executor.transaction(async (run) => {
        runs++;
        await run(mark(first));
        if (runs >= 2) bothReached.resolve();
        await bothReached.promise;
        await run(mark(second));
      });
    await Promise.all([crossing(...names), crossing(names[1], names[0])]);
    expect(runs).to.be.at.least(3);
    expect(await Promise.all(names.map(countOf))).to.eql([3, 3]);
  });

  it("are made of a transaction of one statement that a deadlock ended", async function () {
    this.timeout(15_000);
    const names = [unknownId(), unknownId()] as const;
    for (const name of names) await change(mark(name));
    const { admin } = store();
    // The longest to wait for a deadlock is the one that does not end: the other finds it.
    await admin.query("begin; set local deadlock_timeout = '1min'");
    await admin.query("update marks set count = count + 1 where name = $1", [names[1]]);
    const both = change(sql`
      with a as (update marks set count = count + 1 where name = ${names[0]} returning 1)
      update marks set count = count + (select count(*) from a)::int where name = ${names[1]}`);
    await store().untilWaiting(1);
    await admin.query("update marks set count = count + 1 where name = $1", [names[0]]);
    await admin.query("commit");
    await both;
    expect(await Promise.all(names.map(countOf))).to.eql([3, 3]);
  });

  it("are made of a transaction whose connection ended while a statement waited", async () => {
    await holdLock();
    const name = unknownId();
    const done = executor.transaction(async (run) => {
      await run(mark(name));
      await run(lock());
    });
    await store().untilWaiting(1);
    await endConnection(await waitingPid());
    await store().untilWaiting(1);
    await store().admin.query("rollback");
    await done;
    expect(await countOf(name)).to.equal(1);
  });

  it("are made of a transaction whose connection ended between two statements", async () => {
    const name = unknownId();
    let runs = 0;
    await executor.transaction(async (run) => {
      await run(mark(name));
      if (++runs === 1) await endConnection(await pidOf(run));
      await run(sql`select 1`);
    });
    expect(runs).to.equal(2);
    expect(await countOf(name)).to.equal(1);
  });

  it("are made of a block, which takes effect once", async () => {
    await store().follows.follow(ann, bob);
    const pair = [ann, bob].sort().join(":");
    await store().admin.query("begin");
    await store().admin.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [pair]);
    const block = store().blocks.block(ann, bob);
    await store().untilWaiting(1);
    await endConnection(await waitingPid());
    await store().untilWaiting(1);
    await store().admin.query("rollback");
    const { result } = await block;
    expect(await store().blocks.list(ann, 10)).to.eql([result]);
    expect((await store().follows.relationship(ann, bob)).following).to.equal(false);
  });

  describe("around a commit", () => {
    before(async () => {
      await change(sql`
        create function commit_slowly() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(7, 7); return null; end $$`);
      await change(sql`
        create constraint trigger commit_slowly after insert or update on marks
        deferrable initially deferred for each row execute function commit_slowly()`);
    });
    after(() => executor?.transaction((run) => run(sql`drop function commit_slowly cascade`)));

    it("are never made of a transaction that ended during its commit", async () => {
      await holdLock();
      const name = unknownId();
      let runs = 0;
      const outcome = reasonOf(
        executor.transaction(async (run) => {
          runs++;
          await run(mark(name));
        }),
      );
      await until(async () =>
        (await store().running()).some(({ query, waits }) => query === "commit" && waits),
      );
      await endConnection(await waitingPid());
      expect(await outcome).to.equal("UNAVAILABLE");
      expect(runs).to.equal(1);
    });
  });

  it("prepare statements anew whose columns a migration altered, on every connection", async () => {
    // As many at once as the pool has connections, so that each prepares them.
    const useAll = () =>
      tally(
        Array.from({ length: poolSize }, async () => {
          const person = await store().newUser();
          await store().users.find(person);
          await store().blocks.block(person, bob);
        }),
      );
    expect(await useAll()).to.eql({ ok: poolSize });
    await store().admin.query("alter table users alter first_name type varchar(200)");
    expect(await useAll()).to.eql({ ok: poolSize });
    await store().admin.query("alter table users alter first_name type text");
    expect(await useAll()).to.eql({ ok: poolSize });
  });

  it("are made of a transaction whose commit the server rolled back, and then of one whose connection ended", async () => {
    await change(sql`create sequence commits`);
    await change(sql`
      create function fail_first_commit() returns trigger language plpgsql as $$
      begin
        if nextval('commits') = 1 then raise serialization_failure; end if;
        return null;
      end $$`);
    await change(sql`
      create constraint trigger fail_first_commit after insert on marks
      deferrable initially deferred for each row execute function fail_first_commit()`);
    const name = unknownId();
    let runs = 0;
    await executor.transaction(async (run) => {
      runs++;
      if (runs === 2) await endConnection(await pidOf(run));
      await run(mark(name));
    });
    await change(sql`drop function fail_first_commit cascade`);
    expect(runs).to.equal(3);
    expect(await countOf(name)).to.equal(1);
  });

  it("are made of a read whose connection ended", async () => {
    await holdLock();
    const read = executor.read(sql<{ one: number }>`select 1 as one, (${lock()})::text as locked`);
    await store().untilWaiting(1);
    await endConnection(await waitingPid());
    await store().untilWaiting(1);
    await store().admin.query("rollback");
    expect(await read).to.eql([{ one: 1, locked: "" }]);
  });

  it("end after four attempts", async () => {
    await change(sql`
      create function fail() returns void language plpgsql as $$ begin raise serialization_failure; end $$`);
    const raise = sql`select fail()`;
    let runs = 0;
    const outcome = await reasonOf(
      executor.transaction(async (run) => {
        runs++;
        await run(raise);
      }),
    );
    expect(outcome).to.equal("UNAVAILABLE");
    expect(runs).to.equal(attempts);
    expect(await reasonOf(executor.read(raise))).to.equal("UNAVAILABLE");
  });

  it("do not hide permanent failures", async () => {
    let runs = 0;
    const failure = await failureOf(
      executor.transaction(async (run) => {
        runs++;
        await run(sql`select 1 / 0`);
      }),
    );
    expect(failure).to.have.property("code", "22012");
    expect(runs).to.equal(1);
  });

  it("end at once with the signal's reason when the caller disconnects", async () => {
    const reason = new Error("the caller went away");
    const controller = new AbortController();
    let runs = 0;
    const outcome = failureOf(
      executor.transaction(
        async (run) => {
          runs++;
          await run(sql`select 1`);
          // Before any pause ends, and after it has begun.
          setImmediate(() => controller.abort(reason));
          throw Object.assign(new Error("as the driver reports it"), { code: "40001" });
        },
        { signal: controller.signal },
      ),
    );
    expect(await outcome).to.equal(reason);
    expect(runs).to.equal(1);
  });

  it("begin no attempt when the caller disconnects during the pause", async () => {
    const controller = new AbortController();
    let steps = 0;
    const step = () => {
      steps++;
      setImmediate(() => controller.abort());
      return Promise.reject(new Error("passes"));
    };
    await failureOf(retry(step, () => true, controller.signal));
    expect(steps).to.equal(1);
  });

  it("leave no connection in a transaction", async () => {
    await Promise.all(Array.from({ length: 32 }, () => executor.read(sql`select 1`)));
    const { rows } = await store().admin.query(
      "select query from pg_stat_activity where application_name = 'privacy-control' and state like 'idle in %'",
    );
    expect(rows).to.eql([]);
  });
});
