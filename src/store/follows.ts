import { type RawBuilder, sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { ConsistencyToken } from "../domain/consistency.ts";
import type { EdgeTerms, Relationship } from "../domain/edges.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import { parseToken, readToken, writeToken } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { pairLock } from "./locks.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

const add = queryTemplate(
  (follower: UserId, followee: UserId) => sql<{ known: boolean; blocked: boolean; token: string }>`
    with follower as (select id from users where id = ${follower} and erased_at is null for key share nowait),
    followee as (select id from users where id = ${followee} and erased_at is null for key share nowait),
    facts as (
      select
        exists (select from follower) and exists (select from followee) as known,
        exists (
          select from blocks
          where (blocker_id, blocked_id) in ((${follower}, ${followee}), (${followee}, ${follower})) and ${standing}
        ) as blocked
    ),
    added as (
      insert into follows (follower_id, followee_id, created_at)
      select ${follower}, ${followee}, clock_timestamp() from facts where known and not blocked
      on conflict (follower_id, followee_id) do nothing
      returning 1
    )
    select known, blocked, ${writeToken(sql`exists (select from added)`)} as token from facts`,
);

const remove = queryTemplate(
  (follower: UserId, followee: UserId) => sql<{ token: string }>`
    with known as (
      select id from users where id in (${follower}, ${followee}) and erased_at is null for key share nowait
    ),
    removed as (
      delete from follows
      where follower_id = ${follower} and followee_id = ${followee} and (select count(*) from known) = 2
      returning 1
    )
    select ${writeToken(sql`exists (select from removed)`)} as token`,
);

/** The terms of a block or mute, as a value of a JSON column. */
interface TermsJson {
  /** In microseconds since 1970; null: never. */
  readonly ends: string | null;
  readonly scopes: number;
}

type RelationshipRow = Record<"following" | "followedBy" | "isWritable", boolean> &
  Record<"blocking" | "blockedBy" | "muting" | "mutedBy", TermsJson | null>;

/** Null when there is no such row. */
const termsOf = (edges: RawBuilder<unknown>, scopes: RawBuilder<unknown>, key: RawBuilder<unknown>) => sql`(
  select json_build_object('ends', ${microsOf(sql`expires_at`)}, 'scopes', ${scopes}) from ${edges}
  where ${key} and ${standing}
)`;
const blockTerms = (key: RawBuilder<unknown>) => termsOf(sql.table("blocks"), sql.lit(allScopes), key);
const muteTerms = (key: RawBuilder<unknown>) => termsOf(sql.table("mutes"), sql.ref("scopes"), key);

const relationshipOf = queryTemplate(
  (user: UserId, other: UserId) => sql<RelationshipRow>`
    select ${isWritable} as "isWritable",
      exists (select from follows where follower_id = u.id and followee_id = o.id) as "following",
      exists (select from follows where follower_id = o.id and followee_id = u.id) as "followedBy",
      ${blockTerms(sql`blocker_id = u.id and blocked_id = o.id`)} as "blocking",
      ${blockTerms(sql`blocker_id = o.id and blocked_id = u.id`)} as "blockedBy",
      ${muteTerms(sql`muter_id = u.id and muted_id = o.id`)} as "muting",
      ${muteTerms(sql`muter_id = o.id and muted_id = u.id`)} as "mutedBy"
    from users u, users o
    where u.id = ${user} and u.erased_at is null and o.id = ${other} and o.erased_at is null`,
);

function toTerms(json: TermsJson | null): EdgeTerms | null {
  if (json === null) return null;
  return { expiresAt: json.ends === null ? null : BigInt(json.ends), scopes: json.scopes };
}

/** The follows of users. */
export class FollowRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Records that one user follows another; changes nothing when it is already recorded. Throws `USER_NOT_FOUND`,
   * or `FOLLOW_ACROSS_BLOCK` when either blocks the other.
   */
  async follow(follower: UserId, followee: UserId, signal?: AbortSignal): Promise<ConsistencyToken> {
    return this.#executor.transaction(
      async (run) => {
        const [facts] = await run(add(follower, followee));
        if (!facts?.known) throw new PrivacyError("USER_NOT_FOUND");
        if (facts.blocked) throw new PrivacyError("FOLLOW_ACROSS_BLOCK");
        return parseToken(facts.token);
      },
      { signal, locks: pairLock(follower, followee), cause: "service" },
    );
  }

  /** Records that one user does not follow another; the users need not be known. */
  async unfollow(follower: UserId, followee: UserId, signal?: AbortSignal): Promise<ConsistencyToken> {
    return this.#executor.transaction(async (run) => readToken(await run(remove(follower, followee))), {
      signal,
      locks: pairLock(follower, followee),
      cause: "service",
    });
  }

  /** Returns every edge between two users, all of one moment. Throws `USER_NOT_FOUND` when either is unknown. */
  async relationship(user: UserId, other: UserId, signal?: AbortSignal): Promise<Relationship> {
    const [row] = await this.#executor.read(relationshipOf(user, other), signal);
    if (row === undefined) throw new PrivacyError("USER_NOT_FOUND");
    assertWritable(row.isWritable);
    return {
      following: row.following,
      followedBy: row.followedBy,
      blocking: toTerms(row.blocking),
      blockedBy: toTerms(row.blockedBy),
      muting: toTerms(row.muting),
      mutedBy: toTerms(row.mutedBy),
    };
  }
}
