import { type RawBuilder, sql } from "kysely";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** Asks for a page of the users who are hidden from a viewer. */
interface HiddenUsersQuery {
  readonly viewer: UserId;
  /** The bit of `muteScopes` that a mute must cover to hide a user. */
  readonly scope: number;
  /** The most users of the page. */
  readonly limit: number;
  /** The lowest id of the page; undefined for the first page. */
  readonly from: string | undefined;
}

/** Users whom the viewer blocks or mutes, or who block the viewer, in the order of their ids. */
interface HiddenUsersPage {
  readonly users: readonly UserId[];
  /**
   * When the first of these users stops being hidden by the end of blocks and mutes, in microseconds since 1970; null
   * when none does. A user who is hidden for several reasons stops when the last of them ends.
   */
  readonly endsAt: bigint | null;
  /** Where the next page begins; undefined on the last one. Any page may have fewer users than were asked for. */
  readonly next: string | undefined;
}

interface PageRow {
  readonly writable: boolean;
  readonly known: boolean;
  readonly users: readonly UserId[] | null;
  readonly ends: string | null;
  readonly next: string | null;
}

/** What every id is at least. */
const lowestId = "00000000-0000-0000-0000-000000000000";

/**
 * A page of hidden users, as one row.
 *
 * Each branch of the union has the limit, so that it reads no more entries of its index than the page can have. What hides
 * nobody (a lapsed row, another scope, a user who is being erased) is left out after that: a page reads no more for it,
 * and becomes shorter instead. One more user than the limit says where the next page begins.
 */
const pageOf = queryTemplate((viewer: UserId, scope: number, limit: number, from: string) => {
  const branch = (edges: RawBuilder<unknown>, user: string, other: string, hides: RawBuilder<unknown>) => sql`
    (select ${sql.ref(other)} as id, expires_at, ${hides} as hides from ${edges}
      where ${sql.ref(user)} = ${viewer} and ${sql.ref(other)} >= ${from}
      order by ${sql.ref(other)} limit ${limit}::int + 1)`;
  return sql<PageRow>`
    select
      ${isWritable} as "writable",
      (select true from users where id = ${viewer} and erased_at is null) is not null as "known",
      json_agg(id order by id) filter (where hidden and n <= ${limit}::int) as "users",
      (extract(epoch from min(ends) filter (where hidden and n <= ${limit}::int)) * 1000000)::bigint::text as "ends",
      (array_agg(id) filter (where n > ${limit}::int))[1] as "next"
    from (
      select id, row_number() over (order by id) as n,
        coalesce(bool_or(hides and ${standing}), false) and id <> ${viewer}
          and id not in (select id from users where erased_at is not null) as hidden,
        nullif(max(expires_at) filter (where hides), 'infinity') as ends
      from (
        ${branch(sql.table("blocks"), "blocker_id", "blocked_id", sql`true`)}
        union all ${branch(sql.table("blocks"), "blocked_id", "blocker_id", sql`true`)}
        union all ${branch(sql.table("mutes"), "muter_id", "muted_id", sql`scopes & ${scope}::int <> 0`)}
      ) edges
      group by id order by id limit ${limit}::int + 1
    ) page`;
});

/** Lists the users who are hidden from a viewer. */
export class HiddenUsersReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Reads a page by one statement that starts now. Throws `USER_NOT_FOUND` for an unknown viewer, and `UNAVAILABLE` when
   * the server is not a primary that takes changes.
   */
  async read(
    { viewer, scope, limit, from = lowestId }: HiddenUsersQuery,
    signal?: AbortSignal,
  ): Promise<HiddenUsersPage> {
    const [page] = await this.#executor.read(pageOf(viewer, scope, limit, from), signal);
    assertWritable(page?.writable);
    if (!page?.known) throw new PrivacyError("USER_NOT_FOUND");
    return {
      users: page.users ?? [],
      endsAt: page.ends === null ? null : BigInt(page.ends),
      next: page.next ?? undefined,
    };
  }
}
