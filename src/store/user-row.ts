import { sql } from "kysely";
import type { User, UserId } from "../domain/users.ts";

/** A row of the columns below. */
export interface UserRow {
  readonly id: UserId;
  readonly user_name: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly profile_picture_urls: string[];
  readonly is_verified: boolean;
}

// As JSON, since the driver takes an array of text apart character by character: a seventh of the time of a page.
const pictures = sql`array_to_json(u.profile_picture_urls)`;

/** The columns of a user `u` as it was upserted. */
export const userColumns = sql`u.id, u.user_name, u.first_name, u.last_name, u.is_verified,
  ${pictures} as profile_picture_urls`;

/** The columns of a user `u` as other users see it: without pictures when it shows them to nobody. */
export const publicUserColumns = sql`u.id, u.user_name, u.first_name, u.last_name, u.is_verified,
  case when (
    select true from privacy_settings p
    where p.user_id = u.id and p.setting = 'profile_picture' and p.audience = 'none'
  ) then '[]' else ${pictures} end as profile_picture_urls`;

/** Reads a user off its row. */
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
