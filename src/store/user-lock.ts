import { type CompiledQuery, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import type { Run } from "./session.ts";
import { statement } from "./statement.ts";

/** The name of what is changed when a user is created, replaced or erased. */
export function existenceName(id: UserId): string {
  return `user:${id}`;
}

const lockRow = statement((id: UserId) => sql`select from users where id = ${id} for update`);

const lockKey = statement(
  (id: UserId) => sql`
    insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    values (${id}, '', '', '', '{}', false)
    on conflict (id) do update set user_name = excluded.user_name where false`,
);

/**
 * Locks the existence of a user until the transaction ends, which must delete the user's row: one who is unknown is
 * locked by a row of its own. A row that another transaction has inserted and not committed is waited for.
 */
export function lockExistence(id: UserId): readonly CompiledQuery<unknown>[] {
  // The row first: who has locked it less would wait for others who wait for the same row. The key may bring another.
  return [lockRow(id), lockKey(id), lockRow(id)];
}

/**
 * For those who create or replace users: keeps the known ones from being erased until the transaction ends. Fails at
 * once when one of them is being erased.
 */
export async function lockExistenceShared(run: Run, ids: readonly UserId[]): Promise<void> {
  await run(sql`select from users where id = any (${[...ids]}::uuid[]) for key share nowait`);
}
