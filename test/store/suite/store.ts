import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { expect } from "chai";
import { type RawBuilder, sql } from "kysely";
import { type ErrorReason, PrivacyError, UnknownActorError } from "../../../src/domain/errors.ts";
import type { User, UserId } from "../../../src/domain/users.ts";
import type { Backend } from "../../../src/store/database.ts";
import { type Database, databaseOn } from "../../../src/store/database.ts";
import { until } from "../../support/until.ts";

/** A store under test, with a way past its methods. */
export interface TestStore extends Database {
  query<Row>(statement: RawBuilder<Row>): Promise<Row[]>;
  /** Resolves when the database answers. */
  ping(signal?: AbortSignal): Promise<void>;
  /** Stores a user that no other test knows. */
  newUser(facts?: Partial<User>): Promise<UserId>;
  newUsers(count: number): Promise<UserId[]>;
}

/** The store on a backend whose tables are there. */
export function testStore(backend: Backend): TestStore {
  const database = databaseOn(backend);
  return {
    ...database,
    query: (statement) => backend.executor.transaction((run) => run(statement)),
    async ping(signal) {
      await backend.executor.read(sql`select 1`, signal);
    },
    async newUser(facts) {
      const user = someUser(facts);
      await database.users.upsert([user]);
      return user.id;
    },
    async newUsers(count) {
      const users = Array.from({ length: count }, () => someUser());
      await database.users.upsert(users);
      return users.map(({ id }) => id);
    },
  };
}

/** A user that is not stored yet. */
export function someUser(facts: Partial<User> = {}): User {
  const id = unknownId();
  return {
    id,
    userName: `user_${id.slice(0, 8)}`,
    firstName: "First",
    lastName: "Last",
    profilePictureUrls: [`https://pictures.example/${id}.jpg`],
    isVerified: false,
    ...facts,
  };
}

/** The id of no user. */
export function unknownId(): UserId {
  return randomUUID() as UserId;
}

/** What a promise rejects with; fails when it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (failure: unknown) => ({ failure }),
  );
  if ("value" in outcome) expect.fail(`resolved with ${inspect(outcome.value)}`);
  return outcome.failure;
}

/** Expects a rejection with a reason, and with the message that callers read. */
export async function expectReason(promise: Promise<unknown>, reason: ErrorReason): Promise<void> {
  const failure = await failureOf(promise);
  if (!(failure instanceof PrivacyError)) throw failure;
  expect(failure.reason).to.equal(reason);
  expect(failure.message).to.equal(new PrivacyError(reason).message);
}

/** Expects a rejection because the acting user is unknown. */
export async function expectUnknownActor(promise: Promise<unknown>): Promise<void> {
  expect(await failureOf(promise)).to.be.instanceOf(UnknownActorError);
}

/** Counts outcomes: `"ok"`, the reason of a `PrivacyError`, or the text of any other failure. */
export async function tally(promises: Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.allSettled(promises)) {
    const key = outcome.status === "fulfilled" ? "ok" : (outcome.reason.reason ?? String(outcome.reason));
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Waits until a connection comes free in time. */
export async function untilServed(store: TestStore): Promise<void> {
  await until(() =>
    store.ping().then(
      () => true,
      () => false,
    ),
  );
}

/** The time of the database's clock, in microseconds since 1970. */
export async function databaseNow(store: TestStore): Promise<bigint> {
  const [row] = await store.query(
    sql<{ now: string }>`select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now`,
  );
  return BigInt(row?.now ?? "");
}

/** The number of rows of a table that mention two users, in that order. */
export async function countFollows(store: TestStore, follower: UserId, followee: UserId): Promise<number> {
  const rows = await store.query(
    sql`select from follows where follower_id = ${follower} and followee_id = ${followee}`,
  );
  return rows.length;
}
