import { type RawBuilder, sql } from "kysely";
import { type AccessQuery, decisionTable, type RelationshipFacts } from "../domain/access.ts";
import type { DatabaseState } from "../domain/consistency.ts";
import { defaultAudience, type PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import { currentState, parseState } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** Asks for the facts of a pair of users: only those that its decision needs are looked up. */
export interface FactsQuery {
  /** Null for a viewer who is not signed in. */
  readonly viewer: UserId | null;
  readonly owner: UserId;
  /** The bits of `muteScopes` of which a mute must cover one to count; 0 when \`muting\` is not needed: it is false then. */
  readonly muteScope: number;
  /** The setting that `audience`, `contact` and `excepted` are about; null when none of them is needed. */
  readonly setting: PrivacySetting | null;
}

/** Asks for what the decision of a query needs. */
export function factsQuery({ viewer, owner, interaction }: AccessQuery): FactsQuery {
  const { muteScope, audience } = decisionTable[interaction];
  return { viewer, owner, muteScope, setting: audience };
}

/** The facts of a pair, and the state of the database that they are of. */
export interface FactsOfState extends RelationshipFacts {
  readonly state: DatabaseState;
}

/** A row of the statement: the first one has the state as the database writes it. */
type FactsRow = RelationshipFacts & { state: string | null | DatabaseState };

/**
 * The facts of the pairs in `q (viewer, owner, mute_scope, setting)`, a row for each; no row when the server is no primary.
 *
 * Each look-up is a query of its own for at most one row by its whole key. A join, `exists` or `in` would let the planner
 * read a user's whole list, or the whole table, instead of a few index entries.
 */
export const factsOf = (pairs: RawBuilder<unknown>, state: RawBuilder<unknown>) => sql<FactsRow>`
  select
    (q.viewer is null or (select true from users where id = q.viewer and erased_at is null) is not null)
      and (select true from users where id = q.owner and erased_at is null) is not null as "known",
    (select true from blocks
      where blocker_id = q.viewer and blocked_id = q.owner and ${standing}) is not null as "blocking",
    (select true from blocks
      where blocker_id = q.owner and blocked_id = q.viewer and ${standing}) is not null as "blockedBy",
    (select true from mutes
      where q.mute_scope <> 0 and muter_id = q.viewer and muted_id = q.owner
        and scopes & q.mute_scope <> 0 and ${standing}) is not null as "muting",
    coalesce(chosen.audience, ${sql.lit(defaultAudience)}) as "audience",
    (select true from follows
      where chosen.audience in ('contacts', 'contact_blacklist')
        and follower_id = q.owner and followee_id = q.viewer) is not null as "contact",
    (select true from privacy_exceptions
      where chosen.audience = 'contact_blacklist'
        and user_id = q.owner and setting = q.setting and excepted_id = q.viewer) is not null as "excepted",
    ${state} as "state"
  from ${pairs}
  left join lateral (
    select audience from privacy_settings where user_id = q.owner and setting = q.setting limit 1
  ) chosen on true
  where ${isWritable}`;

/** The columns of queries as arrays, for `pairsOf`. */
export type QueryColumns = [viewers: string, owners: string, muteScopes: string, settings: string];

/** Queries as rows `q (viewer, owner, mute_scope, setting, n)`. */
export const pairsOf = (...[viewers, owners, muteScopes, settings]: QueryColumns) => sql`
  unnest(${viewers}::uuid[], ${owners}::uuid[], ${muteScopes}::int2[], ${settings}::text[])
    with ordinality q (viewer, owner, mute_scope, setting, n)`;

const factsOfQueries = queryTemplate(
  (...columns: QueryColumns) =>
    sql<FactsRow>`${factsOf(pairsOf(...columns), sql`case when q.n = 1 then ${currentState} end`)}
    order by q.n`,
);

/** Reads the facts that decisions rest on. */
export class RelationshipFactsReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the facts of each query, in their order, by one statement that starts now. Throws `UNAVAILABLE` when the
   * server is not a primary that takes changes.
   */
  async read(queries: readonly FactsQuery[], signal?: AbortSignal): Promise<FactsOfState[]> {
    const rows = await this.#executor.read(factsOfQueries(...columnsOf(queries)), signal);
    assertWritable(rows.length > 0 || queries.length === 0);
    if (rows.length !== queries.length)
      throw new Error(`${rows.length} rows of facts for ${queries.length} queries`);
    const [first] = rows;
    if (first === undefined) return [];
    const state = parseState(String(first.state));
    for (const row of rows) row.state = state;
    return rows as FactsOfState[];
  }
}

/** The columns of queries. */
export function columnsOf(queries: readonly FactsQuery[]): QueryColumns {
  return [
    arrayOf(queries.map(({ viewer }) => viewer)),
    arrayOf(queries.map(({ owner }) => owner)),
    arrayOf(queries.map(({ muteScope }) => muteScope)),
    arrayOf(queries.map(({ setting }) => setting)),
  ];
}

/** The text of an array. The driver would escape each value: none of these has a character that needs it. */
function arrayOf(values: readonly (string | number | null)[]): string {
  return `{${values.map((value) => (value === null ? "null" : `"${value}"`)).join(",")}}`;
}
