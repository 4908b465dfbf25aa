import { type RawBuilder, sql } from "kysely";
import type { ImportedUser } from "../domain/imports.ts";
import type { User, UserId } from "../domain/users.ts";
import type { Run } from "./executor.ts";
import { lockExistenceShared } from "./locks.ts";
import { upsertUsers } from "./users.ts";

interface IdRow {
  readonly id: UserId;
}

/**
 * Creates users, or replaces the fields that are given; the last of two with one id wins, field by field. Returns how
 * many users were created or changed. Fails at once when one of the users is being erased.
 */
export async function importUsers(run: Run, users: readonly ImportedUser[]): Promise<number> {
  if (users.length === 0) return 0;
  const byId = new Map<UserId, ImportedUser>();
  for (const user of users) byId.set(user.id, { ...byId.get(user.id), ...user });
  const distinct = [...byId.values()];
  if (distinct.every(isComplete)) return upsertUsers(run, distinct);
  await lockExistenceShared(
    run,
    distinct.map(({ id }) => id),
  );
  // In the order of the ids, as every upsert of users. Rows that are there are locked and not changed, so that the
  // next statement waits for nothing and sees what they hold last.
  const created = await run(sql<IdRow>`
    insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    select id, "userName", coalesce("firstName", ''), coalesce("lastName", ''),
      coalesce("profilePictureUrls", '{}'), coalesce("isVerified", false)
    from ${given(distinct)}
    order by id
    on conflict (id) do update set user_name = excluded.user_name where false
    returning id`);
  const changed = await run(sql<IdRow>`
    update users u set
      user_name = "userName",
      first_name = coalesce("firstName", first_name),
      last_name = coalesce("lastName", last_name),
      profile_picture_urls = coalesce("profilePictureUrls", profile_picture_urls),
      is_verified = coalesce("isVerified", is_verified)
    from ${given(distinct)}
    where u.id = given.id
      and (user_name, first_name, last_name, profile_picture_urls, is_verified) is distinct from
        ("userName", coalesce("firstName", first_name), coalesce("lastName", last_name),
          coalesce("profilePictureUrls", profile_picture_urls), coalesce("isVerified", is_verified))
    returning u.id`);
  return new Set([...created, ...changed].map(({ id }) => id)).size;
}

function isComplete(user: ImportedUser): user is User {
  const { firstName, lastName, profilePictureUrls, isVerified } = user;
  return ![firstName, lastName, profilePictureUrls, isVerified].includes(undefined);
}

function given(users: readonly ImportedUser[]): RawBuilder<unknown> {
  return sql`json_to_recordset(${JSON.stringify(users)}::json) as given (
    "id" uuid, "userName" text, "firstName" text, "lastName" text, "profilePictureUrls" text[],
    "isVerified" boolean
  )`;
}
