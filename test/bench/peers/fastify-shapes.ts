import type { QueryResultRow } from "pg";

/** The path under which the lists and blocks are. */
export const base = "/api/v1/e-social/privacy-control";

/** A page of blocks with their users, without pictures that a user hides. */
export const pageSql = `
  select b.id as record_id, (extract(epoch from b.created_at) * 1000000)::bigint as micros, u.id, u.user_name,
    u.first_name, u.last_name, u.is_verified,
    case when p.audience = 'none' then '{}' else u.profile_picture_urls end as profile_picture_urls
  from (
    select id, blocked_id, created_at from blocks where blocker_id = $1 order by created_at desc, id desc limit $2
  ) b
  join users u on u.id = b.blocked_id
  left join privacy_settings p on p.user_id = u.id and p.setting = 'profile_picture'
  order by b.created_at desc, b.id desc`;

export const unblockSql = "delete from blocks where blocker_id = $1 and blocked_id = $2";

export const updateSql = `
  insert into privacy_settings (user_id, setting, audience) values ($1, $2, $3)
  on conflict (user_id, setting) do update set audience = excluded.audience`;

const text = { type: "string" } as const;
const user = {
  type: "object",
  properties: {
    id: text,
    userName: text,
    firstName: text,
    lastName: text,
    profilePictureUrls: { type: "array", items: text },
    isVerified: { type: "boolean" },
  },
} as const;
const block = { type: "object", properties: { id: text, user, createdAt: text } } as const;

const envelope = <Data>(data: Data) =>
  ({
    type: "object",
    properties: { success: { type: "boolean" }, httpStatus: text, message: text, action_time: text, data },
  }) as const;

export const blockSchema = envelope(block);
export const emptySchema = envelope({ type: "null" });
export const listSchema = envelope({ type: "array", items: block });

/** The documented envelope. */
export function globe(message: string, data: unknown) {
  return { success: true, httpStatus: "OK", message, action_time: seconds(Date.now()), data };
}

/** A block as a reply has it. */
export function toBlock(row: QueryResultRow) {
  return {
    id: row.record_id,
    user: {
      id: row.id,
      userName: row.user_name,
      firstName: row.first_name,
      lastName: row.last_name,
      profilePictureUrls: row.profile_picture_urls,
      isVerified: row.is_verified,
    },
    createdAt: seconds(Number(row.micros) / 1_000),
  };
}

/** The `Link` header that leads to the page after a row. */
export function nextPage({ micros, record_id }: QueryResultRow, size: number): string {
  const token = Buffer.from(`${micros},${record_id}`).toString("base64url");
  return `<${base}/blocked?page_size=${size}&page_token=${token}>; rel="next"`;
}

function seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
