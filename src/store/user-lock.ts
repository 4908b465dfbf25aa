import { type CompiledQuery, sql } from "kysely";
import type { UserId } from "../domain/users.ts";
import type { Run } from "./executor.ts";
import { queryTemplate } from "./statement.ts";

/** The lock key of a change that creates, replaces or erases a user. */
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
 * Locks the existence of a user until the transaction ends. The transaction must delete the user's row: for an unknown
 * user the lock is a new row. Waits for a row that another transaction has inserted and not committed.
 */
export function lockExistence(id: UserId): readonly CompiledQuery<unknown>[] {
  // The row first, with the strongest lock: the insert takes a weaker one, and to strengthen that could deadlock with others
  // that wait for the row. The row again, since the insert may have waited for one that was not visible before.
  return [lockRow(id), lockKey(id), lockRow(id)];
}

/**
 * For transactions that create or replace users: keeps known users from being erased until the transaction ends. Fails
 * at once when one of them is being erased.
 */
export async function lockExistenceShared(run: Run, ids: readonly UserId[]): Promise<void> {
  await run(sql`select from users where id = any (${[...ids]}::uuid[]) for key share nowait`);
}
