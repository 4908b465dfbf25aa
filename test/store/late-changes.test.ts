import { expect } from "chai";
import { sql } from "kysely";
import type { Audience } from "../../src/domain/settings.ts";
import type { UserId } from "../../src/domain/users.ts";
import { type Database, databaseOn } from "../../src/store/database.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { connectingAs } from "../resilience/support/server-faults.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";
import { edgeRecord } from "./suite/imports.ts";
import { openPostgresStore, type PostgresStore, withParameters } from "./suite/postgresql.ts";
import { failureOf, someUser, unknownId } from "./suite/store.ts";

const deadlineMs = 300;
const poolSize = 16;
const changedTables = ["users", "follows", "blocks", "mutes", "privacy_settings", "privacy_exceptions"];

/** A change, the change that reverts it, and how their effect is read. */
interface Reversible {
  /** Prepares a state in which the change has an effect. */
  prepare?(): Promise<unknown>;
  change(database: Database, signal?: AbortSignal): Promise<unknown>;
  opposite(database: Database): Promise<unknown>;
  /** Whether the effect of the opposite change is what is stored. */
  isReversed(): Promise<boolean>;
}

/** Every change that the store can make, each of users of its own. */
async function reversibles(store: PostgresStore): Promise<Record<string, Reversible>> {
  const pair = async () => (await store.newUsers(2)) as [UserId, UserId];

  async function edges(list: "blocks" | "mutes", isAdded: boolean): Promise<Reversible> {
    const [ann, bob] = await pair();
    const add = (database: Database, signal?: AbortSignal) =>
      list === "blocks"
        ? database.blocks.block(ann, bob, undefined, undefined, signal)
        : database.mutes.mute(ann, bob, undefined, undefined, signal);
    const remove = (database: Database, signal?: AbortSignal) =>
      list === "blocks" ? database.blocks.unblock(ann, bob, signal) : database.mutes.unmute(ann, bob, signal);
    const isListed = async () => (await store[list].list(ann, 1)).length === 1;
    return isAdded
      ? { change: add, opposite: remove, isReversed: async () => !(await isListed()) }
      : { prepare: () => add(store), change: remove, opposite: add, isReversed: isListed };
  }

  async function setting(before?: Audience): Promise<Reversible> {
    const ann = await store.newUser();
    return {
      prepare: async () => before && store.settings.set(ann, "groups", before),
      change: (database, signal) => database.settings.set(ann, "groups", "all", signal),
      opposite: (database) => database.settings.set(ann, "groups", "none"),
      isReversed: async () => (await store.settings.get(ann)).groups === "none",
    };
  }

  async function exception(isAdded: boolean): Promise<Reversible> {
    const [ann, bob] = await pair();
    const update = (kind: "add" | "remove") => (database: Database, signal?: AbortSignal) =>
      database.exceptions.update(ann, "groups", { add: [], remove: [], [kind]: [bob] }, signal);
    const isExcepted = async () => (await store.exceptions.list(ann, "groups", 1)).length === 1;
    return isAdded
      ? { change: update("add"), opposite: update("remove"), isReversed: async () => !(await isExcepted()) }
      : {
          prepare: () => update("add")(store),
          change: update("remove"),
          opposite: update("add"),
          isReversed: isExcepted,
        };
  }

  async function follow(isAdded: boolean): Promise<Reversible> {
    const [ann, bob] = await pair();
    const add = (database: Database, signal?: AbortSignal) => database.follows.follow(ann, bob, signal);
    const remove = (database: Database, signal?: AbortSignal) => database.follows.unfollow(ann, bob, signal);
    const isFollowing = async () => (await store.follows.relationship(ann, bob)).following;
    return isAdded
      ? { change: add, opposite: remove, isReversed: async () => !(await isFollowing()) }
      : { prepare: () => add(store), change: remove, opposite: add, isReversed: isFollowing };
  }

  function user(change: "replaced" | "new" | "erased" | "erased though unknown"): Reversible {
    const described = someUser();
    const upsert = (lastName: string) => (database: Database, signal?: AbortSignal) =>
      database.users.upsert([{ ...described, lastName }], signal);
    const erase = (database: Database, signal?: AbortSignal) => database.users.delete(described.id, signal);
    const isLate = async () => {
      const [known] = await store.users.findByName(described.userName);
      return known?.lastName === "Late";
    };
    const prepare = () => upsert("First")(store);
    if (change === "replaced")
      return { prepare, change: upsert("Early"), opposite: upsert("Late"), isReversed: isLate };
    if (change === "erased though unknown")
      return { change: erase, opposite: upsert("Late"), isReversed: isLate };
    if (change === "erased") return { prepare, change: erase, opposite: upsert("Late"), isReversed: isLate };
    return {
      change: upsert("Early"),
      opposite: erase,
      isReversed: async () => (await store.users.findByName(described.userName)).length === 0,
    };
  }

  async function imported(kind: "mute" | "follow"): Promise<Reversible> {
    const [owner, target] = await pair();
    const isKept = async () => {
      const found = await store.follows.relationship(owner, target);
      return kind === "mute" ? found.muting !== null : found.following;
    };
    return {
      change: (database, signal) =>
        database.imports.store(
          { service: "tests", id: unknownId() },
          0,
          [edgeRecord(kind, owner, target)],
          signal,
        ),
      opposite: (database) =>
        kind === "mute" ? database.mutes.unmute(owner, target) : database.follows.unfollow(owner, target),
      isReversed: async () => !(await isKept()),
    };
  }

  return {
    block: await edges("blocks", true),
    unblock: await edges("blocks", false),
    mute: await edges("mutes", true),
    unmute: await edges("mutes", false),
    "setting chosen before": await setting("contacts"),
    "setting chosen for the first time": await setting(),
    "exception added": await exception(true),
    "exception removed": await exception(false),
    follow: await follow(true),
    unfollow: await follow(false),
    "upsert of a known user": user("replaced"),
    "upsert of a new user": user("new"),
    "erasure of a user": user("erased"),
    "erasure of an unknown user": user("erased though unknown"),
    "import of a mute": await imported("mute"),
    "import of a follow": await imported("follow"),
  };
}

describe("a change whose outcome is unknown", function () {
  this.timeout(60_000);
  let server: ThrowawayServer;
  let store: PostgresStore;
  let all: [name: string, Reversible][];
  let victim: Database;
  let isPresent: boolean;
  let pids: number[];

  before(async function () {
    if (!canStartServer()) return this.skip();
    server = await startThrowawayServer();
    store = await openPostgresStore(server.url);
    await store.migrate();
  });
  after(async () => {
    await store?.close();
    await server?.stop();
  });

  beforeEach(async () => {
    all = Object.entries(await reversibles(store));
    for (const [, { prepare }] of all) await prepare?.();
  });

  /** Opens a database whose backends are known by a name, and which has a connection for each change. */
  async function openVictim(hasBreaker = true): Promise<void> {
    const name = unknownId();
    const poolLimits = { acquireTimeoutMs: 60_000 };
    victim = databaseOn(await openPostgresql(connectingAs(server.url, name), () => {}, { poolLimits }));
    isPresent = true;
    if (hasBreaker) {
      victim.watchAvailability((present) => {
        isPresent = present;
      });
    }
    const users = await store.newUsers(poolSize);
    await until(async () => {
      await Promise.all(users.map((user) => victim.settings.set(user, "groups", "all")));
      const { rows } = await store.admin.query(
        "select pid from pg_stat_activity where application_name = $1",
        [name],
      );
      pids = rows.map(({ pid }) => pid);
      return pids.length === poolSize + (hasBreaker ? 1 : 0);
    });
  }

  function signalBackends(signal: NodeJS.Signals): void {
    for (const pid of pids) process.kill(pid, signal);
  }

  async function namesOfLost(): Promise<string[]> {
    const isLost = await Promise.all(all.map(async ([, { isReversed }]) => !(await isReversed())));
    return all.filter((_, i) => isLost[i]).map(([name]) => name);
  }

  /** Does every change over frozen connections and, when it was given up, it and its opposite over others. */
  async function overtake(
    signal: () => AbortSignal | undefined,
    beforeThaw = async () => {},
  ): Promise<unknown[]> {
    await openVictim();
    signalBackends("SIGSTOP");
    try {
      const failures = await Promise.all(all.map(([, { change }]) => failureOf(change(victim, signal()))));
      await changeOverOthers();
      await beforeThaw();
      return failures;
    } finally {
      signalBackends("SIGCONT");
      // Long after the backoff before a retry.
      await until(() => isPresent);
      // It waits for what the backends do now.
      await victim.close();
    }
  }

  async function changeOverOthers(): Promise<void> {
    for (const [, { change, opposite }] of all) {
      await change(store).catch(unlessDone);
      await opposite(store).catch(unlessDone);
    }
  }

  function unlessDone(failure: unknown): void {
    const { reason } = failure as { reason?: string };
    if (reason !== "USER_ALREADY_BLOCKED" && reason !== "USER_ALREADY_MUTED") throw failure;
  }

  it("takes no effect after a later one, when its deadline has passed", async () => {
    for (const failure of await overtake(() => AbortSignal.timeout(deadlineMs)))
      expect(failure).to.have.property("name", "TimeoutError");
    expect(await namesOfLost()).to.eql([]);
  });

  it("takes no effect after a later one, when the circuit breaker had opened", async () => {
    for (const failure of await overtake(() => undefined))
      expect(failure).to.have.property("reason", "UNAVAILABLE");
    expect(await namesOfLost()).to.eql([]);
  });

  it("would take effect after a later one, if the store did not learn that its caller gave up", async () => {
    await openVictim(false);
    signalBackends("SIGSTOP");
    const late = all.map(([, { change }]) => change(victim));
    try {
      await changeOverOthers();
    } finally {
      signalBackends("SIGCONT");
      await Promise.allSettled(late);
      await victim.close();
    }
    expect(await namesOfLost()).to.include.members([
      "unblock",
      "unmute",
      "unfollow",
      "setting chosen before",
    ]);
  });

  it("is not retried after the circuit breaker had opened", async () => {
    const endBackends = async () => {
      for (const pid of pids) await store.admin.query("select pg_terminate_backend($1)", [pid]);
    };
    for (const failure of await overtake(() => undefined, endBackends))
      expect(failure).to.have.property("reason", "UNAVAILABLE");
    expect(await namesOfLost()).to.eql([]);
  });

  it("keeps later ones waiting while its commit is under way", async () => {
    const { admin } = store;
    await admin.query(`
      create function wait_for_test() returns trigger language plpgsql set lock_timeout = '60s' as $$
      begin perform pg_advisory_xact_lock_shared(1, 1); return null; end $$`);
    for (const table of changedTables) {
      await admin.query(`
        create constraint trigger wait_for_test after insert or update or delete on ${table}
        deferrable initially deferred for each row execute function wait_for_test()`);
    }
    const openWith = async (lockTimeoutMs: number) =>
      databaseOn(await openPostgresql(withParameters(server.url, { lock_timeout: lockTimeoutMs }), () => {}));
    const [patient, hasty] = [await openWith(60_000), await openWith(100)];
    await admin.query("select pg_advisory_lock(1, 1)");
    const early = all.map(([, { change }]) => change(patient));
    try {
      await until(async () => {
        const running = await store.running();
        return running.filter(({ query, waits }) => query === "commit" && waits).length === all.length;
      });
      const refused = await Promise.all(all.map(([, { opposite }]) => failureOf(opposite(hasty))));
      for (const failure of refused) expect(failure).to.have.property("reason", "UNAVAILABLE");
    } finally {
      await admin.query("select pg_advisory_unlock(1, 1)");
      await Promise.all(early);
      await admin.query("drop function wait_for_test cascade");
    }
    for (const [, { opposite }] of all) await opposite(hasty);
    await Promise.all([patient.close(), hasty.close()]);
    expect(await namesOfLost()).to.eql([]);
  });

  it("cannot be sent outside of a transaction", async () => {
    const { executor, close } = await openPostgresql(server.url, () => {});
    try {
      for (const statement of [
        sql`insert into users select * from users`,
        sql`with gone as (delete from blocks returning 1) select count(*) from gone`,
        sql`update users set last_name = ''`,
        sql`select from users for share`,
      ])
        expect(String(await failureOf(executor.read(statement)))).to.include("in a transaction");
    } finally {
      await close();
    }
  });
});
