import { type RawBuilder, sql } from "kysely";
import { PrivacyError } from "../domain/errors.ts";
import type { PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import { queryTemplate } from "./statement.ts";
import type { Locks, Run } from "./transaction.ts";

/** The lock of a pair of users, in either order. A transaction has it before its first statement. */
export function pairLock(a: UserId, b: UserId): Locks {
  const name = pairName(a, b);
  return { names: [name], advisory: name };
}

/**
 * The lock of a pair, with the name of an idempotency key that the transaction takes after it. Every transaction takes
 * them in this order.
 */
export function withKey({ names, ...locks }: Locks, actor: UserId, key: string): Locks {
  return { ...locks, names: [...names, `key:${actor}:${key}`] };
}

/** The lock of an exception list. A transaction has it before its first statement. */
export function exceptionsLock(owner: UserId, setting: PrivacySetting): Locks {
  const name = exceptionsName(owner, setting);
  return { names: [name], advisory: name };
}

/**
 * The statement that takes many of the advisory locks above, in the one order that lets no two transactions wait for
 * each other. It has to be a statement of its own, before those that it protects: what a statement reads is fixed
 * before it takes a lock. At most 1,000 locks: each takes an entry of a table that all connections share.
 */
export function lockAllStatement(names: readonly string[]): RawBuilder<unknown> {
  return sql`
    select pg_advisory_xact_lock(key)
    from (select distinct hashtextextended(name, 0) as key from unnest(${names}::text[]) as name order by key) keys`;
}

/** The name of the lock of a pair. */
export function pairName(a: UserId, b: UserId): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}

/** The name of the lock of an exception list. */
export function exceptionsName(owner: UserId, setting: PrivacySetting): string {
  return `exceptions:${owner}:${setting}`;
}

/** The name of the lock of a change that creates, replaces or erases a user. */
export function existenceName(id: UserId): string {
  return `user:${id}`;
}

const lockRow = queryTemplate((id: UserId) => sql`select from users where id = ${id} for update`);

const lockKey = queryTemplate(
  (id: UserId) => sql`
    insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    values (${id}, '', '', '', '{}', false)
    on conflict (id) do update set user_name = excluded.user_name where false`,
);

/**
 * Locks the existence of a user until the transaction ends. The transaction must delete the row of an
 * unknown user: the lock is a new row. Waits for a row that another transaction has inserted and not
 * committed.
 */
export async function lockExistence(run: Run, id: UserId): Promise<void> {
  // The row first, with the strongest lock: the insert takes a weaker one, and to strengthen that could deadlock with others
  // that wait for the row. The row again, since the insert may have waited for one that was not visible before.
  await run(lockRow(id), lockKey(id), lockRow(id));
}

/**
 * For transactions that create or replace users: keeps known users from being erased until the transaction ends. Fails
 * at once when one of them is being erased, between the transactions of the erasure too: their rows are not to be revived.
 */
export async function lockExistenceShared(run: Run, ids: readonly UserId[]): Promise<void> {
  const [row] = await run(sql<{ marked: boolean }>`
    with locked as (select erased_at from users where id = any (${[...ids]}::uuid[]) for key share nowait)
    select exists (select from locked where erased_at is not null) as marked`);
  if (row?.marked) throw new PrivacyError("UNAVAILABLE", { cause: new Error("a user is being erased") });
}
