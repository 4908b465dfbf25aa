import { sql } from "kysely";
import type { UserId } from "../domain/users.ts";
import type { Run } from "./executor.ts";
import { lockExistence } from "./locks.ts";
import { query } from "./statement.ts";

/** The columns that name a user, but for the users' own. */
const mentions = [
  ["follows", "follower_id"],
  ["follows", "followee_id"],
  ["blocks", "blocker_id"],
  ["blocks", "blocked_id"],
  ["mutes", "muter_id"],
  ["mutes", "muted_id"],
  ["privacy_exceptions", "user_id"],
  ["privacy_exceptions", "excepted_id"],
] as const;

const rowsAtOnce = 10_000;

/**
 * Erases a user and every row that mentions it. The foreign keys would do so too, but in one statement, which for a
 * user of a million edges takes longer than any statement may.
 */
export async function eraseUser(run: Run, id: UserId): Promise<void> {
  // From here on no other transaction can mention or create the user. The short lock timeout of a first attempt ends here:
  // a long erasure must not start again because of a short lock wait.
  await run(...lockExistence(id), sql`set local lock_timeout to default`);
  for (const [table, column] of mentions) {
    let erased: number;
    do {
      const [row] = await run(sql<{ count: number }>`
        with gone as (
          delete from ${sql.table(table)}
          where ctid = any (array(
            select ctid from ${sql.table(table)} where ${sql.ref(column)} = ${id} limit ${rowsAtOnce}
          ))
          returning 1
        )
        select count(*)::int as count from gone`);
      erased = row?.count ?? 0;
    } while (erased > 0);
  }
  await run(query.deleteFrom("users").where("id", "=", id).compile());
}
