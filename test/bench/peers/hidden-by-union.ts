import type pg from "pg";

/** A page of the users whom a viewer blocks or mutes, or who block the viewer, by the most obvious statement. */
const text = `
  select id from (
    select blocked_id as id from blocks where blocker_id = $1 and expires_at > now()
    union select blocker_id from blocks where blocked_id = $1 and expires_at > now()
    union select muted_id from mutes where muter_id = $1 and expires_at > now() and scopes & 1 <> 0
  ) hidden
  where id >= $2 order by id limit $3`;

/** Answers `ListHiddenUsers` for content. The page token is the lowest id of the page, and no next one is made. */
export async function listHidden(pool: pg.Pool, viewerId: string, pageSize: number, from: string) {
  const { rows } = await pool.query({ name: "hidden", text, values: [viewerId, from, pageSize] });
  return { userIds: rows.map(({ id }) => id as string) };
}
