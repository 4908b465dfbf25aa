import { sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { DatedTerms, OwnRelationship } from "../domain/edges.ts";
import { UnknownActorError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

interface RelationshipRow {
  readonly writable: boolean;
  readonly actor_known: boolean;
  /** Null in the only row of an answer about nobody. */
  readonly id: UserId | null;
  readonly followed: string | null;
  readonly blocked: string | null;
  readonly block_ends: string | null;
  readonly muted: string | null;
  readonly mute_ends: string | null;
  readonly mute_scopes: number | null;
}

const created = microsOf(sql`created_at`);
const ends = microsOf(sql`expires_at`);

/**
 * The edges from the actor to each of some users, a row for each user in their order.
 *
 * Each look-up is a query of its own for at most one row by its whole key, as in `factsOf` of access.ts. An edge counts
 * only where the other user is known: the rows of a user whose erasure is under way may still be there.
 */
const relationshipsOf = queryTemplate(
  (actor: UserId, users: readonly UserId[]) => sql<RelationshipRow>`
    select ${isWritable} as writable,
      (select true from users where id = ${actor} and erased_at is null) is not null as actor_known,
      q.id, followed, blocked, block_ends, muted, mute_ends, mute_scopes
    from (values (1)) as always
    left join unnest(${users}::uuid[]) with ordinality q (id, n) on true
    left join lateral (
      select id from users where id = q.id and id <> ${actor} and erased_at is null limit 1
    ) other on true
    left join lateral (
      select ${created} as followed from follows where follower_id = ${actor} and followee_id = other.id limit 1
    ) follow on true
    left join lateral (
      select ${created} as blocked, ${ends} as block_ends from blocks
      where blocker_id = ${actor} and blocked_id = other.id and ${standing} limit 1
    ) block on true
    left join lateral (
      select ${created} as muted, ${ends} as mute_ends, scopes as mute_scopes from mutes
      where muter_id = ${actor} and muted_id = other.id and ${standing} limit 1
    ) mute on true
    order by q.n`,
);

/** Reads the edges that users made about others: their own side of relationships alone. */
export class RelationshipsReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the edges from the actor to each user, in their order, as often as given, by one statement that starts now.
   * There is none to an unknown user and to oneself. Throws `UnknownActorError`, and `UNAVAILABLE` when the server is
   * not a primary that takes changes.
   */
  async read(actor: UserId, users: readonly UserId[], signal?: AbortSignal): Promise<OwnRelationship[]> {
    const rows = await this.#executor.read(relationshipsOf(actor, users), signal);
    const [first] = rows;
    assertWritable(first?.writable);
    if (!first?.actor_known) throw new UnknownActorError();
    const found = rows.flatMap((row) => (row.id === null ? [] : toRelationship(row.id, row)));
    if (found.length !== users.length)
      throw new Error(`${found.length} relationships for ${users.length} users`);
    return found;
  }
}

function toRelationship(user: UserId, row: RelationshipRow): OwnRelationship {
  return {
    user,
    following: toDatedTerms(row.followed, null, allScopes),
    blocking: toDatedTerms(row.blocked, row.block_ends, allScopes),
    muting: toDatedTerms(row.muted, row.mute_ends, row.mute_scopes ?? allScopes),
  };
}

function toDatedTerms(createdAt: string | null, expiresAt: string | null, scopes: number): DatedTerms | null {
  if (createdAt === null) return null;
  return {
    createdAt: BigInt(createdAt),
    expiresAt: expiresAt === null ? null : BigInt(expiresAt),
    scopes,
  };
}
