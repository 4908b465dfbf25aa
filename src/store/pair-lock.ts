import { type RawBuilder, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";

/**
 * Locks a pair of users, in either order, until the transaction ends. It has to be a statement of its own, before
 * those that it protects: what a statement reads was fixed before it took any lock.
 */
export function lockPair(a: UserId, b: UserId): RawBuilder<unknown> {
  const pair = a < b ? `${a}:${b}` : `${b}:${a}`;
  return sql`select pg_advisory_xact_lock(hashtextextended(${pair}, 0))`;
}
