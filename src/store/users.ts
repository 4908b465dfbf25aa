import { sql } from "kysely";
import { PrivacyError } from "../domain/errors.ts";
import type { User, UserId } from "../domain/users.ts";
import { eraseUser } from "./erasure.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { existenceName, lockExistenceShared } from "./locks.ts";
import { query } from "./statement.ts";
import { toUser, type UserRow, userColumns } from "./user-row.ts";

/** The users that the accounts service described. */
export class UserRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Creates users, or replaces what is known of them: all or none. The last of two with one id wins. */
  async upsert(users: readonly User[], signal?: AbortSignal): Promise<void> {
    await this.#executor.transaction((run) => upsertUsers(run, users), signal, {
      names: [...new Set(users.map(({ id }) => existenceName(id)))],
    });
  }

  /** Returns a user as it was upserted. Throws `USER_NOT_FOUND`. */
  async find(id: UserId, signal?: AbortSignal): Promise<User> {
    const [row] = await this.#executor.read(
      sql<UserRow>`select ${userColumns} from users u where u.id = ${id}`,
      signal,
    );
    if (row === undefined) throw new PrivacyError("USER_NOT_FOUND");
    return toUser(row);
  }

  /** Returns the ids of the users of a name, which several may share, in the order of the ids. */
  async findByName(name: string, signal?: AbortSignal): Promise<UserId[]> {
    const rows = await this.#executor.read(
      query.selectFrom("users").select("id").where("user_name", "=", name).orderBy("id").compile(),
      signal,
    );
    return rows.map(({ id }) => id);
  }

  /** Erases a user and every row that mentions it. Deleting an unknown user changes nothing. */
  async delete(id: UserId, signal?: AbortSignal): Promise<void> {
    await this.#executor.transaction((run) => eraseUser(run, id), signal, { names: [existenceName(id)] });
  }

  /** Tells whether there is no user at all. */
  async isEmpty(signal?: AbortSignal): Promise<boolean> {
    const rows = await this.#executor.read(query.selectFrom("users").select("id").limit(1).compile(), signal);
    return rows.length === 0;
  }
}

/**
 * Creates users or replaces what is known of them, and returns how many it changed; the last of two with one id wins.
 * Fails at once when one of the users is being erased.
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
    where (u.user_name, u.first_name, u.last_name, u.profile_picture_urls, u.is_verified) is distinct from
      (excluded.user_name, excluded.first_name, excluded.last_name, excluded.profile_picture_urls,
        excluded.is_verified)
    returning 1`);
  return changed.length;
}
