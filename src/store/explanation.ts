import { type RawBuilder, sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { DatabaseState } from "../domain/consistency.ts";
import type { DatedTerms } from "../domain/edges.ts";
import type { ExplainedFacts } from "../domain/explanation.ts";
import {
  type Audience,
  defaultAudience,
  type PrivacySetting,
  privacySettings,
  type SettingChoice,
} from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import { currentState, parseState } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** Everything that decisions about a pair rest on, and the state of the database that it is of. */
interface ExplainedState extends ExplainedFacts {
  readonly state: DatabaseState;
}

type EdgeValues = [createdAt: string, expiresAt: string | null, scopes: number];
type SettingValues = [name: PrivacySetting, audience: Audience | null, isExcepted: true | null];

interface ExplainedRow {
  readonly viewer_known: boolean;
  readonly owner_known: boolean;
  readonly blocking: EdgeValues | null;
  readonly blocked_by: EdgeValues | null;
  readonly muting: EdgeValues | null;
  readonly contact: EdgeValues | null;
  readonly settings: readonly SettingValues[];
  readonly read_at: string;
  readonly state: string;
}

const createdAt = microsOf(sql`created_at`);
const expiresAt = microsOf(sql`expires_at`);
const edgeOf = (expiry: RawBuilder<unknown>, scopes: RawBuilder<unknown>) =>
  sql`json_build_array(${createdAt}, ${expiry}, ${scopes})`;
const everything = sql.lit(allScopes);
const settingNames = sql.join(privacySettings.map((name) => sql.lit(name)));

/** One row; none when the server is no primary. Each look-up is for at most one row by its whole key, as in a check. */
const everythingOf = queryTemplate(
  (viewer: UserId | null, owner: UserId) => sql<ExplainedRow>`
    select
      (select true from users where id = q.viewer and erased_at is null) is not null as "viewer_known",
      (select true from users where id = q.owner and erased_at is null) is not null as "owner_known",
      (select ${edgeOf(expiresAt, everything)} from blocks
        where blocker_id = q.viewer and blocked_id = q.owner and ${standing}) as "blocking",
      (select ${edgeOf(expiresAt, everything)} from blocks
        where blocker_id = q.owner and blocked_id = q.viewer and ${standing}) as "blocked_by",
      (select ${edgeOf(expiresAt, sql`scopes`)} from mutes
        where muter_id = q.viewer and muted_id = q.owner and ${standing}) as "muting",
      (select ${edgeOf(sql`null`, everything)} from follows
        where follower_id = q.owner and followee_id = q.viewer) as "contact",
      (select json_agg(json_build_array(
        s.name,
        (select audience from privacy_settings where user_id = q.owner and setting = s.name),
        (select true from privacy_exceptions
          where user_id = q.owner and setting = s.name and excepted_id = q.viewer)
      )) from unnest(array[${settingNames}]) s (name)) as "settings",
      ${microsOf(sql`statement_timestamp()`)} as "read_at",
      ${currentState} as "state"
    from (select ${viewer}::uuid as viewer, ${owner}::uuid as owner) q
    where ${isWritable}`,
);

/** Reads everything that decisions about a viewer and an owner rest on. */
export class ExplainedFactsReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the facts by one statement that starts now; `viewer` is null for one who is not signed in. Throws
   * `UNAVAILABLE` when the server is not a primary that takes changes.
   */
  async read(viewer: UserId | null, owner: UserId, signal?: AbortSignal): Promise<ExplainedState> {
    const [row] = await this.#executor.read(everythingOf(viewer, owner), signal);
    assertWritable(row !== undefined);
    const { viewer_known, owner_known, settings, read_at, state } = row as ExplainedRow;
    // What names a user who is being erased counts as deleted.
    const edge = (values: EdgeValues | null) =>
      viewer_known && owner_known && values !== null ? toEdge(values) : null;
    return {
      viewerKnown: viewer_known,
      ownerKnown: owner_known,
      blocking: edge(row?.blocking ?? null),
      blockedBy: edge(row?.blocked_by ?? null),
      muting: edge(row?.muting ?? null),
      contact: edge(row?.contact ?? null),
      settings: owner_known ? toSettings(settings, viewer_known) : null,
      readAt: BigInt(read_at),
      state: parseState(state),
    };
  }
}

function toEdge([created, expires, scopes]: EdgeValues): DatedTerms {
  return {
    createdAt: BigInt(created),
    expiresAt: expires === null ? null : BigInt(expires),
    scopes,
  };
}

function toSettings(settings: readonly SettingValues[], viewerKnown: boolean) {
  const entries = settings.map(([name, audience, isExcepted]) => [
    name,
    { audience: audience ?? defaultAudience, excepted: viewerKnown && isExcepted === true },
  ]);
  return Object.fromEntries(entries) as Record<PrivacySetting, SettingChoice>;
}
