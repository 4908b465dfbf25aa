import { sql } from "kysely";
import type { UserId } from "../domain/users.ts";
import type { Tables } from "./entities.ts";
import type { Run } from "./executor.ts";
import { lockExistence } from "./locks.ts";
import { query, queryTemplate } from "./statement.ts";

type UserColumn = { [Table in keyof Tables]: readonly [Table, keyof Tables[Table]] }[keyof Tables];

/** The columns that refer to a user and may have very many rows for one. */
const mentions = [
  ["follows", "follower_id"],
  ["follows", "followee_id"],
  ["blocks", "blocker_id"],
  ["blocks", "blocked_id"],
  ["mutes", "muter_id"],
  ["mutes", "muted_id"],
  ["privacy_exceptions", "user_id"],
  ["privacy_exceptions", "excepted_id"],
  ["idempotency_keys", "actor_id"],
  ["idempotency_keys", "target_id"],
] as const satisfies readonly UserColumn[];

/**
 * The most rows that one statement deletes; a transaction that has deleted as many ends. The same for every statement: for a
 * few rows the server could prefer to read the table rather than an index.
 */
const rowsAtOnce = 10_000;

const deletions = mentions.map(([table, column]) =>
  queryTemplate(
    (id: UserId) => sql<{ count: number }>`
      with deleted as (
        delete from ${sql.table(table)}
        where ctid = any (array(
          select ctid from ${sql.table(table)} where ${sql.ref(column)} = ${id} limit ${sql.lit(rowsAtOnce)}
        ))
        returning 1
      )
      select count(*)::int as count from deleted`,
  ),
);

const mark = queryTemplate(
  (id: UserId) => sql`update users set erased_at = clock_timestamp() where id = ${id} and erased_at is null`,
);

const lockMarked = queryTemplate(
  (id: UserId) => sql`select id from users where id = ${id} and erased_at is not null for update`,
);

/** Whether a user is marked as erased. */
export const isAnyMarked = queryTemplate(
  () => sql<{ marked: boolean }>`
    select (
      select true from users where erased_at is not null order by erased_at limit 1
    ) is not null as marked`,
);

const lockAnyMarked = queryTemplate(
  () => sql<{ id: UserId }>`
    select id from users where erased_at is not null order by erased_at limit 1 for update skip locked`,
);

/**
 * Begins the erasure of a user, known or not, and returns whether rows are left. In that case the user is marked, and
 * unknown to every statement when the transaction commits.
 */
export async function beginErasure(run: Run, id: UserId): Promise<boolean> {
  // From here on no other transaction can mention or create the user.
  await lockExistence(run, id);
  return eraseLocked(run, id);
}

/** Continues the erasure of a user. Returns whether rows are left; false when the user is not marked any more. */
export async function continueErasure(run: Run, id: UserId): Promise<boolean> {
  const marked = await run(lockMarked(id));
  return marked.length > 0 && eraseLocked(run, id);
}

/** Continues the erasure of a marked user whom no other transaction has locked. Returns whether there was one. */
export async function continueAnyErasure(run: Run): Promise<boolean> {
  const [marked] = await run(lockAnyMarked());
  if (marked === undefined) return false;
  await eraseLocked(run, marked.id);
  return true;
}

/**
 * Deletes rows that mention a user, then the user; when they are too many for one transaction, marks the user. The foreign
 * keys would delete them too, but in one statement, which could take longer than any statement may.
 *
 * The mark commits with the first deletions: no decision rests on a part of the user's rows.
 */
async function eraseLocked(run: Run, id: UserId): Promise<boolean> {
  // The short lock timeout of a first attempt ends here: a long erasure must not start again because of a short lock wait.
  await run(sql`set local lock_timeout to default`);
  let total = 0;
  for (const deletion of deletions) {
    let deleted: number;
    do {
      const [row] = await run(deletion(id));
      deleted = row?.count ?? 0;
      total += deleted;
      if (total >= rowsAtOnce) {
        await run(mark(id));
        return true;
      }
    } while (deleted > 0);
  }
  await run(query.deleteFrom("users").where("id", "=", id).compile());
  return false;
}
