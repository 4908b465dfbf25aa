import { type CompiledQuery, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import type { Run } from "./session.ts";
import { statement } from "./statement.ts";

const exclusive = statement(
  (id: UserId) => sql`select pg_advisory_xact_lock(hashtextextended('user:' || ${id}, 0))`,
);

/**
 * Locks the existence of a user until the transaction ends, also of one who is unknown: a row that another transaction
 * has inserted and not committed cannot be locked.
 */
export function lockExistence(id: UserId): CompiledQuery<unknown> {
  return exclusive(id);
}

/**
 * Shares the locks of `lockExistence` among those who create or replace users, until the transaction ends. Fails at
 * once when one of the users is being erased. At most 1,000: every lock takes a place in a table that all connections
 * share.
 */
export async function shareExistence(run: Run, ids: readonly UserId[]): Promise<void> {
  const [row] = await run(sql<{ shared: boolean }>`
    select bool_and(pg_try_advisory_xact_lock_shared(hashtextextended('user:' || id, 0))) as shared
    from unnest(${[...ids]}::text[]) as id`);
  if (row?.shared === false) throw Object.assign(new Error("a user is being erased"), { code: "55P03" });
}
