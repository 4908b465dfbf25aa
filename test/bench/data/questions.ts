import { create, toBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type pg from "pg";
import {
  BatchCheckAccessRequestSchema,
  BatchCheckAccessResponseSchema,
  Cause,
  CheckAccessRequestSchema,
  CheckAccessResponseSchema,
  ConsistencySchema,
  Effect,
  FilterUsersRequestSchema,
  FilterUsersResponseSchema,
  FilterViewersRequestSchema,
  FilterViewersResponseSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import * as access from "../../../src/domain/access.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { Call } from "../load/exchanges.ts";
import { idSql } from "./users.ts";

/** A question with its right answer, which a statement unlike the service's own has found. */
export interface Check {
  readonly viewer: string;
  readonly owner: string;
  readonly interaction: access.Interaction;
  readonly decision: access.Decision;
}

type Question = Omit<Check, "decision">;

const interactions = Object.keys(access.decisionTable) as access.Interaction[];

/** Questions about pairs of known users, of all interactions: half of the pairs have an edge, half are strangers. */
export async function mixedChecks(client: pg.Client, users: number, count: number): Promise<Check[]> {
  const share = Math.ceil(count / 8);
  const sampled = (table: string, viewer: string, owner: string) =>
    `(select ${viewer} as viewer, ${owner} as owner from ${table} tablesample system (20) repeatable (7)
      limit ${share})`;
  const { rows } = await client.query<{ viewer: string; owner: string }>(`
    select * from (
      ${sampled("blocks", "blocker_id", "blocked_id")}
      union all ${sampled("blocks", "blocked_id", "blocker_id")}
      union all ${sampled("mutes", "muter_id", "muted_id")}
      union all ${sampled("follows", "followee_id", "follower_id")}
      union all (
        select ${idSql(`floor(random() * ${users})::int`)}, ${idSql(`floor(random() * ${users})::int`)}
        from generate_series(1, ${share * 4})
      )
    ) pairs order by random() limit ${count}`);
  return answered(
    client,
    rows.map((pair, i) => ({ ...pair, interaction: interactions[i % interactions.length] ?? "FOLLOW" })),
  );
}

/** The questions of viewers about 1,000 owners each, some of whom they block. */
export function candidates(client: pg.Client, viewers: readonly string[], users: number): Promise<Check[][]> {
  return answeredInSets(client, viewers, users, (viewer, owner) => ({ viewer, owner }));
}

/** The questions of 1,000 viewers each about owners, who block some of them. */
export function audiences(client: pg.Client, owners: readonly string[], users: number): Promise<Check[][]> {
  return answeredInSets(client, owners, users, (owner, viewer) => ({ viewer, owner }));
}

/** Questions about a user and 1,000 others, some of whom the user blocks, for each of some users. */
async function answeredInSets(
  client: pg.Client,
  ones: readonly string[],
  users: number,
  pairOf: (one: string, other: string) => Pick<Question, "viewer" | "owner">,
): Promise<Check[][]> {
  const { rows } = await client.query<{ one: string; other: string }>(
    `select one, other from unnest($1::uuid[]) with ordinality as v (one, n) cross join lateral (
      (select blocked_id as other from blocks where blocker_id = one limit 50)
      union all (select ${idSql(`floor(random() * ${users})::int`)} from generate_series(1, 1000 + 0 * n))
      limit 1000
    ) found order by n, random()`,
    [ones],
  );
  const checks = await answered(
    client,
    rows.map(({ one, other }) => ({ ...pairOf(one, other), interaction: "VIEW_CONTENT" })),
  );
  return ones.map((_, i) => checks.slice(i * 1_000, (i + 1) * 1_000));
}

async function answered(client: pg.Client, questions: readonly Question[]): Promise<Check[]> {
  const { rows } = await client.query<access.RelationshipFacts>(
    `select
      exists (select from blocks where blocker_id = viewer and blocked_id = owner) as "blocking",
      exists (select from blocks where blocker_id = owner and blocked_id = viewer) as "blockedBy",
      exists (select from mutes where muter_id = viewer and muted_id = owner) as "muting",
      true as "known", coalesce(audience, 'all') as "audience", follows as "contact", excepted
    from (
      select q.*, s.audience,
        exists (select from follows where follower_id = q.owner and followee_id = q.viewer) as follows,
        exists (
          select from privacy_exceptions e
          where e.user_id = q.owner and e.setting = q.setting and e.excepted_id = q.viewer
        ) as excepted
      from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as q (viewer, owner, setting, n)
      left join privacy_settings s on s.user_id = q.owner and s.setting = q.setting
    ) facts
    order by n`,
    [
      questions.map(({ viewer }) => viewer),
      questions.map(({ owner }) => owner),
      questions.map(({ interaction }) => access.decisionTable[interaction].audience),
    ],
  );
  return questions.map((question, i) => ({
    ...question,
    decision: access.decideAccess(
      {
        viewer: question.viewer as UserId,
        owner: question.owner as UserId,
        interaction: question.interaction,
      },
      rows[i] as access.RelationshipFacts,
    ),
  }));
}

/** `CheckAccess` for each, fully consistent unless an answer may be some seconds old. */
export function checkCalls(checks: readonly Check[], maxStalenessSeconds?: number): Call[] {
  const consistency =
    maxStalenessSeconds === undefined
      ? undefined
      : create(ConsistencySchema, {
          requirement: {
            case: "maxStaleness",
            value: create(DurationSchema, { seconds: BigInt(maxStalenessSeconds) }),
          },
        });
  return checks.map((check) => ({
    request: toBinary(CheckAccessRequestSchema, { ...requestOf(check), consistency }),
    reply: toBinary(CheckAccessResponseSchema, replyOf(check)),
  }));
}

/** `BatchCheckAccess` for so many at once. */
export function batchCalls(checks: readonly Check[], size: number): Call[] {
  const calls: Call[] = [];
  for (let at = 0; at + size <= checks.length; at += size) {
    const batch = checks.slice(at, at + size);
    calls.push({
      request: toBinary(
        BatchCheckAccessRequestSchema,
        create(BatchCheckAccessRequestSchema, { checks: batch.map(requestOf) }),
      ),
      reply: toBinary(
        BatchCheckAccessResponseSchema,
        create(BatchCheckAccessResponseSchema, { results: batch.map(replyOf) }),
      ),
    });
  }
  return calls;
}

/** `FilterUsers` for the checks of `candidates`. */
export function filterCall(checks: readonly Check[]): Call {
  const viewerId = checks[0]?.viewer ?? "";
  return {
    request: toBinary(
      FilterUsersRequestSchema,
      create(FilterUsersRequestSchema, {
        viewer: { case: "viewerId", value: viewerId },
        ownerIds: checks.map(({ owner }) => owner),
        interaction: Interaction.VIEW_CONTENT,
      }),
    ),
    reply: toBinary(
      FilterUsersResponseSchema,
      create(FilterUsersResponseSchema, {
        ownerIds: checks.filter(({ decision }) => decision.effect === "ALLOW").map(({ owner }) => owner),
      }),
    ),
  };
}

/** `FilterViewers` for the checks of `audiences`. */
export function filterViewersCall(checks: readonly Check[]): Call {
  const request = create(FilterViewersRequestSchema, {
    ownerId: checks[0]?.owner ?? "",
    viewerIds: checks.map(({ viewer }) => viewer),
    interaction: Interaction.VIEW_CONTENT,
  });
  const allowed = checks.filter(({ decision }) => decision.effect === "ALLOW");
  const reply = create(FilterViewersResponseSchema, { viewerIds: allowed.map(({ viewer }) => viewer) });
  return {
    request: toBinary(FilterViewersRequestSchema, request),
    reply: toBinary(FilterViewersResponseSchema, reply),
  };
}

function requestOf({ viewer, owner, interaction }: Check) {
  return create(CheckAccessRequestSchema, {
    viewer: { case: "viewerId", value: viewer },
    ownerId: owner,
    interaction: Interaction[interaction],
  });
}

function replyOf({ decision: { effect, cause } }: Check) {
  return create(CheckAccessResponseSchema, {
    effect: Effect[effect],
    cause: cause === null ? Cause.UNSPECIFIED : Cause[cause],
  });
}
