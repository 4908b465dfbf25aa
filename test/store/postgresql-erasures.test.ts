import { expect } from "chai";
import { sql } from "kysely";
import { PrivacyError } from "../../src/domain/errors.ts";
import type { User, UserId } from "../../src/domain/users.ts";
import { type Backend, type Database, databaseOn } from "../../src/store/database.ts";
import { continueErasure } from "../../src/store/erasure.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { until } from "../support/until.ts";
import { addCrowd } from "./suite/erasure.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { failureOf, someUser } from "./suite/store.ts";

describe("the erasure of a user with very many rows on PostgreSQL", () => {
  const store = onPostgresql();
  let backend: Backend;
  let another: Database;
  before(async () => {
    backend = await openPostgresql(store().url, () => {});
    another = databaseOn(backend);
  });
  after(() => backend?.close());
  afterEach(() => store().query(sql`delete from users where user_name = 'crowd'`));

  let described: User;
  /** A user whose erasure takes several transactions, and another: each blocks the other. */
  async function enemies(): Promise<[user: UserId, other: UserId]> {
    described = someUser();
    await store().users.upsert([described]);
    const other = await store().newUser();
    await store().blocks.block(described.id, other);
    await store().blocks.block(other, described.id);
    await addCrowd(store(), described.id);
    return [described.id, other];
  }

  const isMarked = async (user: UserId) => {
    const rows = await store().query(sql`select from users where id = ${user} and erased_at is not null`);
    return rows.length > 0;
  };
  const logOf = async (user: UserId) => {
    const rows = await store().query(sql<{ present: boolean }>`
      select present from changes where owner = ${user} and kind = 'user' order by seq`);
    return rows.map(({ present }) => present);
  };

  /** Resumes the erasure of a user, at another instance, until it is complete. */
  const untilGone = (user: UserId) =>
    until(async () => {
      await another.users.resumeErasures();
      return (await store().query(sql`select from users where id = ${user}`)).length === 0;
    });

  /** Asks for the decisions on two users until one is unknown, while one is erased; returns the answers that differ. */
  async function answersDuring(database: Database, [user, other]: [UserId, UserId]): Promise<string[]> {
    const ask = { viewer: user, owner: other, muteScope: 1, setting: null };
    const seen = new Set<string>();
    let isErased = false;
    const asking = async () => {
      do {
        const [there, back] = await store().relationshipFacts.read([
          ask,
          { ...ask, viewer: other, owner: user },
        ]);
        for (const { known, blocking, blockedBy } of [there, back].filter((facts) => facts !== undefined))
          seen.add(known ? `known ${blocking} ${blockedBy}` : "unknown");
      } while (!isErased);
    };
    const asked = asking();
    await until(() => seen.size > 0);
    await database.users.delete(user).finally(() => {
      isErased = true;
    });
    await asked;
    return [...seen].sort();
  }

  it("never lets a decision rest on a part of the rows", async () => {
    expect(await answersDuring(store(), await enemies())).to.eql(["known true true", "unknown"]);
  });

  it("would let it, if rows were deleted before the mark", async () => {
    const { executor } = backend;
    // A transaction for each statement.
    const split = Object.create(executor, {
      transaction: {
        value: ((work, options) =>
          work((...statements) =>
            executor.transaction((run) => run(...statements), options),
          )) as typeof executor.transaction,
      },
    });
    const mutant = databaseOn({ ...backend, executor: split });
    expect(await answersDuring(mutant, await enemies())).to.include("known false false");
  });

  it("is completed by another instance when the caller gives up", async () => {
    const [user] = await enemies();
    const given = new AbortController();
    const { admin } = store();
    // The last statement of the first transaction has marked the user; the second one waits for this row.
    await admin.query("begin");
    try {
      await admin.query("select from mutes where muted_id = $1 order by ctid desc limit 1 for update", [
        user,
      ]);
      const erasure = failureOf(store().users.delete(user, given.signal));
      await until(() => isMarked(user));
      await store().untilWaiting(1);
      expect(await logOf(user)).to.eql([true, false]);
      expect(await another.users.resumeErasures(), "it is locked").to.equal(false);
      given.abort(new PrivacyError("UNAVAILABLE"));
      expect(await erasure).to.equal(given.signal.reason);
    } finally {
      await admin.query("rollback");
    }
    await untilGone(user);
    expect(await store().query(sql`select from mutes where muted_id = ${user}`)).to.eql([]);
    expect(await logOf(user)).to.eql([true, false, false]);
  });

  it("is completed after a crash in between", async () => {
    const [user] = await enemies();
    const { admin } = store();
    await admin.query("begin");
    try {
      await admin.query("select from mutes where muted_id = $1 order by ctid desc limit 1 for update", [
        user,
      ]);
      const erasure = store().users.delete(user);
      await until(() => isMarked(user));
      await store().untilWaiting(1);
      await store().endConnections();
      await Promise.all([erasure.catch(() => {}), admin.query("rollback")]);
    } finally {
      await admin.query("rollback");
    }
    await untilGone(user);
    expect((await logOf(user)).slice(-3)).to.eql([true, false, false]);
  });

  it("does not erase the user who comes back while its caller still waits", async () => {
    const [user] = await enemies();
    const erasure = store().users.delete(user);
    await until(() => isMarked(user));
    const returned = until(() =>
      another.users.upsert([described]).then(
        () => true,
        (failure: PrivacyError) => {
          if (failure.reason !== "UNAVAILABLE") throw failure;
          return false;
        },
      ),
    );
    const resumed = until(async () => !(await another.users.resumeErasures()));
    await Promise.all([erasure, returned, resumed]);
    expect(await store().users.find(user)).to.eql(described);
    // What the caller's next transaction would have done.
    const isLeft = await backend.executor.transaction((run) => continueErasure(run, user));
    expect(isLeft).to.equal(false);
    expect(await store().users.find(user)).to.eql(described);
  });
});
