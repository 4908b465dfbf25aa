import { expect } from "chai";
import { sql } from "kysely";
import { UnknownActorError } from "../../src/domain/errors.ts";
import type { UserId } from "../../src/domain/users.ts";
import { type Backend, type Database, databaseOn } from "../../src/store/database.ts";
import type { SqlExecutor } from "../../src/store/executor.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { connectingAs, connectionsGone } from "../resilience/support/server-faults.ts";
import { startFreezingProxy } from "../support/freezing-proxy.ts";
import { until } from "../support/until.ts";
import { addCrowd } from "./suite/erasure.ts";
import { ageKeys, countKeys, type Keyed, keyedMethods } from "./suite/idempotency.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, tally, unknownId } from "./suite/store.ts";

const commitAnswer = Buffer.from("COMMIT\0");
const commitRequest = Buffer.from("commit\0");

/** Runs every statement of a transaction in a transaction of its own. */
function inParts(executor: SqlExecutor): SqlExecutor {
  return Object.create(executor, {
    transaction: {
      value: ((work, options) =>
        work((...statements) =>
          executor.transaction((run) => run(...statements), options),
        )) as typeof executor.transaction,
    },
  });
}

describe("idempotency keys on PostgreSQL", function () {
  this.timeout(60_000);
  const store = onPostgresql();
  let backend: Backend;
  let another: Database;
  let [ann, bob] = [] as unknown as [UserId, UserId];
  const name = unknownId();
  const [block] = keyedMethods as [Keyed];

  before(async () => {
    const poolLimits = { acquireTimeoutMs: 60_000 };
    backend = await openPostgresql(store().url, () => {}, { poolLimits });
    another = databaseOn(backend);
  });
  after(() => another?.close());
  beforeEach(async () => {
    [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
  });
  afterEach(async () => {
    await store().admin.query("rollback");
    await store().query(sql`delete from users where user_name = 'crowd'`);
  });

  /** Blocks over connections that break when a message of the commit comes by, before it arrives. */
  async function breakAtCommit(message: Buffer): Promise<unknown> {
    const proxy = await startFreezingProxy(connectingAs(store().url, name));
    const cut = databaseOn(await openPostgresql(proxy.url, () => {}));
    proxy.delay((bytes) => bytes.includes(message));
    const failure = failureOf(block.make(cut, ann, bob, "key"));
    await until(() => proxy.holds());
    await proxy.close();
    await cut.close();
    await connectionsGone(store().url, name);
    return failure;
  }

  for (const keyed of keyedMethods) {
    it(`let calls over two instances get one ${keyed.method}, and all of them the same record`, async () => {
      for (let round = 0; round < 20; round++) {
        const [from, to] = (await store().newUsers(2)) as [UserId, UserId];
        const databases = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? store() : another));
        const made = await Promise.all(databases.map((each) => keyed.make(each, from, to, "key")));
        for (const { result } of made) expect(result).to.eql(made[0]?.result);
        expect(await keyed.targets(store(), from)).to.eql([to]);
      }
    });

    it(`let one of different requests make its ${keyed.method}`, async () => {
      for (let round = 0; round < 10; round++) {
        const [from, ...others] = (await store().newUsers(13)) as [UserId, ...UserId[]];
        const counts = await tally(
          others.map((other, i) => keyed.make(i % 2 === 0 ? store() : another, from, other, "key")),
        );
        expect(counts).to.eql({ ok: 1, IDEMPOTENCY_KEY_REUSED: 11 });
        expect(await keyed.targets(store(), from)).to.have.length(1);
        expect(await countKeys(store(), from)).to.equal(1);
      }
    });
  }

  it("let a repetition never make a record again, whatever removals come between", async () => {
    for (let round = 0; round < 20; round++) {
      const [from, to] = (await store().newUsers(2)) as [UserId, UserId];
      const first = block.make(store(), from, to, "key");
      const racing = [
        ...Array.from({ length: 6 }, (_, i) => block.make(i % 2 === 0 ? another : store(), from, to, "key")),
        ...Array.from({ length: 4 }, (_, i) => block.remove(i % 2 === 0 ? store() : another, from, to)),
      ];
      await Promise.all([first, ...racing]);
      await block.remove(store(), from, to);
      await block.make(another, from, to, "key");
      expect(await block.targets(store(), from)).to.eql([]);
      const rows = await store().query(
        sql`select from changes where owner = ${from} and kind = 'block' and present`,
      );
      expect(rows).to.have.length(1);
    }
  });

  it("are used at once with blocks of every direction, removals and erasures without a deadlock", async () => {
    const deadlocks = async () => {
      const [row] = await store().query(
        sql<{
          count: string;
        }>`select deadlocks::text as count from pg_stat_database where datname = current_database()`,
      );
      return row?.count;
    };
    const before = await deadlocks();
    const own = unknownId();
    const open = async () => databaseOn(await openPostgresql(connectingAs(store().url, own), () => {}));
    const instances = [await open(), await open()] as const;
    for (let round = 0; round < 15; round++) {
      const users = await store().newUsers(5);
      const [gone] = users as [UserId];
      const pairs = users.flatMap((a) => users.filter((b) => b !== a).map((b) => [a, b] as const));
      const calls = pairs.flatMap(([a, b], i) => {
        const [one, two] = i % 2 === 0 ? instances : ([instances[1], instances[0]] as const);
        return [
          ...keyedMethods.map((keyed) => keyed.make(one, a, b, `key ${i % 3}`)),
          block.make(two, a, b),
          block.remove(two, a, b),
        ];
      });
      const outcomes = await Promise.allSettled([...calls, instances[0].users.delete(gone)]);
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled" || outcome.reason instanceof UnknownActorError) continue;
        expect(outcome.reason)
          .to.have.property("reason")
          .oneOf([
            ...["IDEMPOTENCY_KEY_REUSED", "USER_ALREADY_BLOCKED", "USER_ALREADY_MUTED"],
            ...["USER_NOT_FOUND", "UNAVAILABLE"],
          ]);
      }
      expect(await countKeys(store(), gone)).to.equal(0);
    }
    for (const instance of instances) await instance.close();
    // A connection counts its deadlocks when it ends at the latest.
    await connectionsGone(store().url, own);
    expect(await deadlocks()).to.equal(before);
  });

  it("are waited for on two connections at most", async () => {
    const { admin } = store();
    const others = await store().newUsers(12);
    await admin.query("begin");
    await admin.query("insert into idempotency_keys (actor_id, key, request) values ($1, 'key', '')", [ann]);
    const made = tally(others.map((other) => block.make(another, ann, other, "key")));
    const waiting = async () => (await store().running()).filter(({ waits }) => waits).length;
    await until(async () => (await waiting()) > 0);
    const seen: number[] = [];
    while (seen.length < 20) seen.push(await waiting());
    await admin.query("rollback");
    expect(Math.max(...seen)).to.be.at.most(2);
    // A busy machine may refuse some of them.
    expect(Object.keys(await made))
      .to.include.members(["ok"])
      .and.to.not.include("USER_ALREADY_BLOCKED");
    expect(await countKeys(store(), ann)).to.equal(1);
  });

  it("tell a caller the truth whose answer was lost after the commit", async () => {
    expect(await breakAtCommit(commitAnswer)).to.have.property("reason", "UNAVAILABLE");
    const made = await store().blocks.list(ann, 1);
    expect(made).to.have.length(1);
    for (let n = 0; n < 2; n++) expect([(await block.make(another, ann, bob, "key")).result]).to.eql(made);
    await block.remove(store(), ann, bob);
    expect([(await block.make(another, ann, bob, "key")).result]).to.eql(made);
    expect(await block.targets(store(), ann)).to.eql([]);
  });

  it("let a caller make the record whose commit was lost", async () => {
    expect(await breakAtCommit(commitRequest)).to.have.property("reason", "UNAVAILABLE");
    expect(await block.targets(store(), ann)).to.eql([]);
    expect(await countKeys(store(), ann)).to.equal(0);
    const { result } = await block.make(another, ann, bob, "key");
    expect(await store().blocks.list(ann, 1)).to.eql([result]);
  });

  it("are taken anew by the attempt that follows one whose backend was ended", async () => {
    const { admin } = store();
    const instance = databaseOn(await openPostgresql(connectingAs(store().url, name), () => {}));
    const waiting = sql<{ pid: number }>`
      select pid from pg_stat_activity where application_name = ${name} and wait_event_type = 'Lock'`;
    await admin.query("begin");
    await admin.query("lock table blocks in share mode");
    const made = block.make(instance, ann, bob, "key");
    await until(async () => (await store().query(waiting)).length > 0);
    await store().query(sql`select pg_terminate_backend(pid) from (${waiting}) as waiting`);
    await admin.query("rollback");
    const { result } = await made;
    expect(await store().blocks.list(ann, 1)).to.eql([result]);
    expect((await block.make(another, ann, bob, "key")).result).to.eql(result);
    await instance.close();
  });

  it("would let a repetition fail, if key, change and outcome were not of one transaction", async () => {
    const mutant = databaseOn({ ...backend, executor: inParts(backend.executor) });
    const { admin } = store();
    await admin.query("begin");
    await admin.query("lock table blocks in share mode");
    // The key is taken, the block is not made: the repetition finds a key without an outcome.
    expect(await failureOf(block.make(mutant, ann, bob, "key"))).to.have.property("reason", "UNAVAILABLE");
    await admin.query("rollback");
    expect(String(await failureOf(block.make(mutant, ann, bob, "key")))).to.match(/no outcome/);
  });

  it("are swept by two instances, each key once, past those that are in use", async () => {
    const { admin } = store();
    const owners = await store().newUsers(3);
    await store().query(sql`
      insert into idempotency_keys (actor_id, key, request, created_at)
      select id, n, '', now() - interval '25 hours' from unnest(${owners}::uuid[]) id, generate_series(1, 700) n`);
    await admin.query("begin");
    await admin.query("select from idempotency_keys where actor_id = $1 and key = '7' for update", [
      owners[0],
    ]);
    let total = 0;
    const sweepAll = async (database: Database) => {
      for (let count = -1; count !== 0; total += Math.max(count, 0))
        count = await database.idempotencyKeys.sweepLapsed();
    };
    await Promise.all([sweepAll(store()), sweepAll(another)]);
    expect(total).to.equal(3 * 700 - 1);
    expect(await store().idempotencyKeys.sweepLapsed()).to.equal(0);
    await admin.query("rollback");
    await sweepAll(another);
    expect(total).to.equal(3 * 700);
  });

  it("are swept while callers use them again", async () => {
    const users = await store().newUsers(6);
    let running = true;
    const sweeper = async (database: Database) => {
      while (running) await database.idempotencyKeys.sweepLapsed();
    };
    const caller = async (actor: UserId) => {
      for (let round = 0; round < 15; round++) {
        for (const target of users.filter((user) => user !== actor)) {
          await block.make(another, actor, target, "key");
          await block.remove(store(), actor, target);
          // A repetition in time changes nothing.
          await block.make(store(), actor, target, "key");
          expect(await block.targets(store(), actor)).to.eql([]);
          await ageKeys(store(), actor, "24 hours");
        }
      }
    };
    const sweeping = [sweeper(store()), sweeper(another)];
    await Promise.all(users.map(caller)).finally(() => {
      running = false;
    });
    await Promise.all(sweeping);
  });

  it("of very many targets or actors go with the user's erasure, in several transactions", async () => {
    for (const [own, other] of [
      ["actor_id", "target_id"],
      ["target_id", "actor_id"],
    ] as const) {
      const user = await store().newUser();
      await addCrowd(store(), user);
      await store().query(sql`delete from mutes where muted_id = ${user}`);
      await store().query(sql`
        insert into idempotency_keys (${sql.ref(own)}, ${sql.ref(other)}, key, request)
        select ${user}, id, id, '' from users where user_name = 'crowd'`);
      await store().users.delete(user);
      expect(await countKeys(store(), user)).to.equal(0);
      const log = await store().query(sql`select from changes where owner = ${user} and not present`);
      // One when it begins, one when it ends.
      expect(log, own).to.have.length(2);
      await store().query(sql`delete from users where user_name = 'crowd'`);
    }
  });
});
