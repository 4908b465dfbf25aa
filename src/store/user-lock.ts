import { type CompiledQuery, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import { LockRefusedError } from "./errors.ts";
import type { Run } from "./session.ts";
import { statement } from "./statement.ts";

/** The name of the lock that guards whether a user exists. */
export function existenceName(id: UserId): string {
  return `user:${id}`;
}

const exclusive = statement(
  (name: string) => sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`,
);

/**
 * Locks the existence of a user until the transaction ends. Needed beside the lock of the row: a row that another
 * transaction has inserted and not committed cannot be locked.
 */
export function lockExistence(id: UserId): CompiledQuery<unknown> {
  return exclusive(existenceName(id));
}

/**
 * Takes the locks of `lockExistence` in shared mode, for those who create or replace users, until the transaction ends.
 * Fails at once when one of the users is being erased. At most 1,000 ids: all connections share the server's table of
 * locks.
 */
export async function lockExistenceShared(run: Run, ids: readonly UserId[]): Promise<void> {
  const [row] = await run(sql<{ shared: boolean }>`
    select bool_and(pg_try_advisory_xact_lock_shared(hashtextextended(name, 0))) as shared
    from unnest(${ids.map(existenceName)}::text[]) as name`);
  if (row?.shared === false) throw new LockRefusedError();
}
