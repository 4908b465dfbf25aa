import { type RawBuilder, sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { ImportedEdge, ImportedUser, SkippedRecord, SkipReason } from "../domain/imports.ts";
import type { User, UserId } from "../domain/users.ts";
import { timestampFromMicros } from "./edges.ts";
import type { Run } from "./executor.ts";
import { lapsed, standing } from "./expiry.ts";
import { lockExistenceShared } from "./locks.ts";
import { upsertUsers } from "./users.ts";

/** The outcome of some records. */
export interface BatchOutcome {
  readonly stored: number;
  readonly skipped: SkippedRecord[];
}

/** What is imported, with the number of its record. */
export type Numbered<Imported> = Imported & { readonly record: number };

interface OutcomeRow {
  readonly stored: number;
  readonly unknown_owner: number[];
  readonly unknown_target: number[];
  readonly expired: number[];
  readonly across: number[];
}

/**
 * Imports blocks and ends the follows between the two of each. A block that stands is never made shorter: the later
 * expiry holds. The locks on the pairs must be held.
 */
export async function importBlocks(
  run: Run,
  edges: readonly Numbered<ImportedEdge>[],
): Promise<BatchOutcome> {
  const outcome = await importEdges(run, edges, {
    insert: sql`insert into blocks as b (blocker_id, blocked_id, id, created_at, expires_at)
      select owner, target, gen_random_uuid(), min(created_at), max(expires_at) from fit
      group by owner, target order by owner, target
      on conflict (blocker_id, blocked_id) do update set
        id = case when b.${lapsed} then excluded.id else b.id end,
        created_at = case when b.${lapsed} then excluded.created_at else b.created_at end,
        expires_at = excluded.expires_at
      where excluded.expires_at > b.expires_at`,
  });
  const skipped = new Set(outcome.skipped.map(({ record }) => record));
  const stored = edges.filter(({ record }) => !skipped.has(record));
  if (stored.length > 0) {
    await run(sql`
      delete from follows f using (
        select owner as a, target as b from ${edgeRows(stored)} union all
        select target, owner from ${edgeRows(stored)}
      ) pair
      where f.follower_id = pair.a and f.followee_id = pair.b`);
  }
  return outcome;
}

/**
 * Imports mutes. A mute that stands is never made shorter or narrower: the later expiry holds, and the scopes of both.
 * The locks on the pairs must be held.
 */
export function importMutes(run: Run, edges: readonly Numbered<ImportedEdge>[]): Promise<BatchOutcome> {
  return importEdges(run, edges, {
    insert: sql`insert into mutes as m (muter_id, muted_id, id, created_at, expires_at, scopes)
      select owner, target, gen_random_uuid(), min(created_at), max(expires_at), bit_or(scopes) from fit
      group by owner, target order by owner, target
      on conflict (muter_id, muted_id) do update set
        id = case when m.${lapsed} then excluded.id else m.id end,
        created_at = case when m.${lapsed} then excluded.created_at else m.created_at end,
        expires_at = greatest(m.expires_at, excluded.expires_at),
        scopes = case when m.${lapsed} then excluded.scopes else m.scopes | excluded.scopes end
      where excluded.expires_at > m.expires_at or m.scopes | excluded.scopes <> m.scopes`,
  });
}

/** Imports follows, but for those across a block. The locks on the pairs must be held. */
export function importFollows(run: Run, edges: readonly Numbered<ImportedEdge>[]): Promise<BatchOutcome> {
  return importEdges(run, edges, {
    insert: sql`insert into follows (follower_id, followee_id, created_at)
      select owner, target, min(created_at) from fit
      group by owner, target order by owner, target
      on conflict (follower_id, followee_id) do nothing`,
    across: sql`exists (
      select from blocks b where b.blocker_id = g.owner and b.blocked_id = g.target and b.${standing}
      union all
      select from blocks b where b.blocker_id = g.target and b.blocked_id = g.owner and b.${standing}
    )`,
  });
}

// Rows are inserted in the order of their key, so that two imports of the same edges cannot wait for each other. The
// rows of the users are locked until the end of the transaction: were one deleted, a foreign key would refuse the whole
// batch. When a user is being erased, the statement fails at once.
async function importEdges(
  run: Run,
  edges: readonly Numbered<ImportedEdge>[],
  { insert, across = sql`false` }: { insert: RawBuilder<unknown>; across?: RawBuilder<unknown> },
): Promise<BatchOutcome> {
  if (edges.length === 0) return { stored: 0, skipped: [] };
  const [row] = await run(sql<OutcomeRow>`
    with seen as materialized (
      select g.*, owner_row.id is not null as knows_owner, target_row.id is not null as knows_target,
        g.${lapsed} as expired, ${across} as across
      from ${edgeRows(edges)}
      left join lateral ${knownUser(sql`g.owner`)} owner_row on true
      left join lateral ${knownUser(sql`g.target`)} target_row on true
    ),
    fit as (select * from seen where knows_owner and knows_target and not expired and not across),
    added as (${insert} returning 1)
    select (select count(*) from added)::int as stored,
      array(select record::int from seen where not knows_owner) as unknown_owner,
      array(select record::int from seen where knows_owner and not knows_target) as unknown_target,
      array(select record::int from seen where knows_owner and knows_target and expired) as expired,
      array(select record::int from seen where knows_owner and knows_target and across) as across`);
  return {
    stored: row?.stored ?? 0,
    skipped: [
      ...skip("UNKNOWN_USER", row?.unknown_owner, "ownerId is no known user"),
      ...skip("UNKNOWN_USER", row?.unknown_target, "targetId is no known user"),
      ...skip("EXPIRED", row?.expired, "expiresAt has passed"),
      ...skip("FOLLOW_ACROSS_BLOCK", row?.across, "ownerId or targetId blocks the other"),
    ],
  };
}

/** The row of a known user, locked against erasure; none for an unknown one. Fails at once when the user is being erased. */
export function knownUser(id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select u.id from users u where u.id = ${id} and u.erased_at is null limit 1 for key share nowait
  )`;
}

/** Records that are skipped for one reason. */
export function skip(
  reason: SkipReason,
  records: readonly number[] = [],
  description: string,
): SkippedRecord[] {
  return records.map((record) => ({ record, reason, description }));
}

function edgeRows(edges: readonly Numbered<ImportedEdge>[]): RawBuilder<unknown> {
  return sql`(
    select owner, target, record,
      coalesce(${timestampFromMicros(sql`micros`)}, clock_timestamp()) as created_at,
      coalesce(${timestampFromMicros(sql`expiry`)}, 'infinity') as expires_at,
      scopes
    from unnest(
      ${edges.map(({ owner }) => owner)}::uuid[],
      ${edges.map(({ target }) => target)}::uuid[],
      ${edges.map(({ createdAt }) => createdAt?.toString() ?? null)}::bigint[],
      ${edges.map(({ expiresAt }) => expiresAt?.toString() ?? null)}::bigint[],
      ${edges.map(({ scopes = allScopes }) => scopes)}::smallint[],
      ${edges.map(({ record }) => record)}::bigint[]
    ) as given (owner, target, micros, expiry, scopes, record)
  ) g`;
}

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
  // next statement waits for nothing and sees their latest values.
  const created = await run(sql<IdRow>`
    insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    select id, "userName", coalesce("firstName", ''), coalesce("lastName", ''),
      coalesce("profilePictureUrls", '{}'), coalesce("isVerified", false)
    from ${userRows(distinct)}
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
    from ${userRows(distinct)}
    where u.id = given.id and u.erased_at is null
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

function userRows(users: readonly ImportedUser[]): RawBuilder<unknown> {
  return sql`json_to_recordset(${JSON.stringify(users)}::json) as given (
    "id" uuid, "userName" text, "firstName" text, "lastName" text, "profilePictureUrls" text[],
    "isVerified" boolean
  )`;
}
