import type pg from "pg";

/** The owners of a list who neither block the viewer nor are blocked or muted, by the most obvious statement. */
const text = `
  select id from users
  where id = any ($2::uuid[])
    and id not in (select blocked_id from blocks where blocker_id = $1 and blocked_id = any ($2::uuid[]))
    and id not in (select blocker_id from blocks where blocked_id = $1 and blocker_id = any ($2::uuid[]))
    and id not in (select muted_id from mutes where muter_id = $1 and muted_id = any ($2::uuid[]))`;

/** Answers `FilterUsers` for content. */
export async function filterByAny(pool: pg.Pool, viewerId: string, ownerIds: readonly string[]) {
  const { rows } = await pool.query({ name: "any", text, values: [viewerId, ownerIds] });
  const visible = new Set(rows.map(({ id }) => id as string));
  return { ownerIds: ownerIds.filter((id) => visible.has(id)) };
}
