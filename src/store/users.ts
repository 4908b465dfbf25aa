import { sql } from "kysely";
import type { ConsistencyToken } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { User, UserId } from "../domain/users.ts";
import { readToken, tokenOfTransaction } from "./consistency.ts";
import { beginErasure, continueAnyErasure, continueErasure, isAnyMarked } from "./erasure.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { existenceName, lockExistenceShared } from "./locks.ts";
import { query, queryTemplate } from "./statement.ts";

/** The most users of one name that are found. */
const maxNamesakes = 10;

/** The users that the accounts service described. */
export class UserRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Creates or replaces users: all or none. Of two with the same id the last one wins. */
  async upsert(users: readonly User[], signal?: AbortSignal): Promise<ConsistencyToken> {
    const names = [...new Set(users.map(({ id }) => existenceName(id)))];
    return this.#executor.transaction(
      async (run) => {
        await upsertUsers(run, users);
        return readToken(await run(tokenOfTransaction()));
      },
      { signal, locks: { names }, cause: "service" },
    );
  }

  /** Returns a user as it was upserted. Throws `USER_NOT_FOUND`. */
  async find(id: UserId, signal?: AbortSignal): Promise<User> {
    const [row] = await this.#executor.read(
      sql<UserRow>`select ${userColumns} from users u where u.id = ${id} and u.erased_at is null`,
      signal,
    );
    if (row === undefined) throw new PrivacyError("USER_NOT_FOUND");
    return toUser(row);
  }

  /** Returns the users with a name, as they were upserted, in the order of their ids: at most ten. */
  async findByName(name: string, signal?: AbortSignal): Promise<User[]> {
    const rows = await this.#executor.read(withName(name), signal);
    return rows.map(toUser);
  }

  /**
   * Erases a user and every row that mentions it. Deleting an unknown user changes nothing.
   *
   * A user with very many rows is erased in several transactions. From the end of the first one the user is unknown. When
   * the wait ends before the last one, `resumeErasures` continues, or a further call of this method.
   */
  async delete(id: UserId, signal?: AbortSignal): Promise<ConsistencyToken> {
    const options = { signal, locks: { names: [existenceName(id)] }, cause: "erasure" } as const;
    let { isLeft, token } = await this.#executor.transaction(async (run) => {
      const left = await beginErasure(run, id);
      return { isLeft: left, token: readToken(await run(tokenOfTransaction())) };
    }, options);
    while (isLeft) isLeft = await this.#executor.transaction((run) => continueErasure(run, id), options);
    return token;
  }

  /**
   * Continues an erasure that has begun, by one transaction, but for one that another transaction continues now. Returns
   * whether it found one. Begins no transaction while there is none.
   */
  async resumeErasures(signal?: AbortSignal): Promise<boolean> {
    const [row] = await this.#executor.read(isAnyMarked(), signal);
    if (!row?.marked) return false;
    return this.#executor.transaction((run) => continueAnyErasure(run), { signal, cause: "erasure" });
  }

  /** Whether there are no users. */
  async isEmpty(signal?: AbortSignal): Promise<boolean> {
    const rows = await this.#executor.read(
      query.selectFrom("users").select("id").where("erased_at", "is", null).limit(1).compile(),
      signal,
    );
    return rows.length === 0;
  }
}

/**
 * Creates or replaces users, and returns how many it changed; of two with the same id the last one wins. Fails at once when
 * one of the users is being erased.
 */
export async function upsertUsers(run: Run, users: readonly User[]): Promise<number> {
  const distinct = [...new Map(users.map((user) => [user.id, user])).values()];
  await lockExistenceShared(
    run,
    distinct.map(({ id }) => id),
  );
  // In the order of their ids, so that two upserts of the same users cannot wait for each other.
  const changed = await run(sql`
    insert into users as u (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    select * from json_to_recordset(${JSON.stringify(distinct)}::json) as given (
      "id" uuid, "userName" text, "firstName" text, "lastName" text, "profilePictureUrls" text[],
      "isVerified" boolean
    )
    order by id
    on conflict (id) do update set
      user_name = excluded.user_name,
      first_name = excluded.first_name,
      last_name = excluded.last_name,
      profile_picture_urls = excluded.profile_picture_urls,
      is_verified = excluded.is_verified
    where u.erased_at is null and (u.user_name, u.first_name, u.last_name, u.profile_picture_urls, u.is_verified) is distinct from
      (excluded.user_name, excluded.first_name, excluded.last_name, excluded.profile_picture_urls,
        excluded.is_verified)
    returning 1`);
  return changed.length;
}

/** A row of the columns below. */
export interface UserRow {
  readonly id: UserId;
  readonly user_name: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly profile_picture_urls: string[];
  readonly is_verified: boolean;
}

export const userRowColumns = [
  "id",
  "user_name",
  "first_name",
  "last_name",
  "profile_picture_urls",
  "is_verified",
] as const satisfies readonly (keyof UserRow)[];

// As JSON: the driver parses arrays of text slowly.
const pictures = sql`array_to_json(u.profile_picture_urls)`;

/** The columns of a user `u` as it was upserted. */
export const userColumns = sql`u.id, u.user_name, u.first_name, u.last_name, u.is_verified,
  ${pictures} as profile_picture_urls`;

/** The columns of a user `u` as other users see it: without pictures when nobody may see them. */
export const publicUserColumns = sql`u.id, u.user_name, u.first_name, u.last_name, u.is_verified,
  case when (
    select true from privacy_settings p
    where p.user_id = u.id and p.setting = 'profile_picture' and p.audience = 'none'
  ) then '[]' else ${pictures} end as profile_picture_urls`;

const withName = queryTemplate(
  (name: string) => sql<UserRow>`
    select ${userColumns} from users u where u.user_name = ${name} and u.erased_at is null
    order by u.id limit ${sql.lit(maxNamesakes)}`,
);

/** The user of a row. */
export function toUser(row: UserRow): User {
  return {
    id: row.id,
    userName: row.user_name,
    firstName: row.first_name,
    lastName: row.last_name,
    profilePictureUrls: row.profile_picture_urls,
    isVerified: row.is_verified,
  };
}
