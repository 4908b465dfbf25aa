import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { UserId } from "../domain/users.ts";
import { queryTemplate } from "./statement.ts";

const lock = queryTemplate((name: string) => sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`);

/**
 * Locks a pair of users, in either order, until the transaction ends. It has to be a statement of its own, before
 * those that it protects: what a statement reads was fixed before it took any lock.
 */
export function lockPair(a: UserId, b: UserId): CompiledQuery<unknown> {
  return lock(pairName(a, b));
}

/**
 * Locks many pairs as `lockPair` locks one, in the one order that lets no two transactions wait for each other.
 * At most 1,000: every lock takes a place in a table that all connections share.
 */
export function lockPairs(pairs: readonly (readonly [UserId, UserId])[]): RawBuilder<unknown> {
  const names = pairs.map(([a, b]) => pairName(a, b));
  return sql`
    select pg_advisory_xact_lock(key)
    from (select distinct hashtextextended(name, 0) as key from unnest(${names}::text[]) as name order by key) keys`;
}

/** The name of a pair, the same in either order. */
export function pairName(a: UserId, b: UserId): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}
