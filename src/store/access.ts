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

const factsOfOne = queryTemplate(
  (viewer: UserId | null, owner: UserId, muteScope: number, setting: string | null) =>
    factsOf(
      sql`(select ${viewer}::uuid as viewer, ${owner}::uuid as owner, ${muteScope}::int2 as mute_scope,
        ${setting}::text as setting) q`,
      currentState,
    ),
);

/** The columns of many queries, for `pairsOf`. */
export type QueryColumns = [viewers: Buffer, owners: Buffer, muteScopes: string, settings: string];

/** Many queries as rows `q (viewer, owner, mute_scope, setting, n)`. */
export const pairsOf = (...[viewers, owners, muteScopes, settings]: QueryColumns) => sql`
  unnest(${viewers}::uuid[], ${owners}::uuid[], ${muteScopes}::int2[], ${settings}::text[])
    with ordinality q (viewer, owner, mute_scope, setting, n)`;

const factsOfMany = queryTemplate(
  (...columns: QueryColumns) =>
    sql<FactsRow>`${factsOf(pairsOf(...columns), sql`case when q.n = 1 then ${currentState} end`)}
    order by q.n`,
);

/** Reads the facts that decisions rest on. */
export class RelationshipFactsReader {
  readonly #executor: SqlExecutor;
  /** Of the last statement: while nothing changes, that of the next one is the same. */
  #lastState: { readonly text: string; readonly state: DatabaseState } | undefined;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the facts of each query, in their order, by one statement that starts now. Throws `UNAVAILABLE` when the
   * server is not a primary that takes changes.
   */
  async read(queries: readonly FactsQuery[], signal?: AbortSignal): Promise<FactsOfState[]> {
    const rows = await this.#executor.read(statementOf(queries), signal);
    assertWritable(rows.length > 0 || queries.length === 0);
    if (rows.length !== queries.length)
      throw new Error(`${rows.length} rows of facts for ${queries.length} queries`);
    const [first] = rows;
    if (first === undefined) return [];
    const state = this.#stateOf(String(first.state));
    for (const row of rows) row.state = state;
    return rows as FactsOfState[];
  }

  #stateOf(text: string): DatabaseState {
    if (this.#lastState?.text !== text) this.#lastState = { text, state: parseState(text) };
    return this.#lastState.state;
  }
}

function statementOf(queries: readonly FactsQuery[]) {
  const [first] = queries;
  // A lone pair needs no arrays and no order.
  if (queries.length === 1 && first !== undefined)
    return factsOfOne(first.viewer, first.owner, first.muteScope, first.setting);
  return factsOfMany(...columnsOf(queries));
}

/** The columns of queries. */
export function columnsOf(queries: readonly FactsQuery[]): QueryColumns {
  return [
    uuidArray(queries.map(({ viewer }) => viewer)),
    uuidArray(queries.map(({ owner }) => owner)),
    // Words that need no quotes: the driver would look for characters to escape in each.
    `{${queries.map(({ muteScope }) => muteScope).join(",")}}`,
    `{${queries.map(({ setting }) => setting ?? "null").join(",")}}`,
  ];
}

const uuidOid = 2950;
const uuidBytes = 16;
const uuidTextBytes = 36;
const lengthBytes = 4;

/** An array of UUIDs in PostgreSQL's binary form: the server parses it much faster than text. */
export function uuidArray(ids: readonly (string | null)[]): Buffer {
  // Dimensions, whether there are nulls, element type, size, first index.
  const header = [1, 1, uuidOid, ids.length, 1];
  const array = Buffer.allocUnsafe(header.length * lengthBytes + ids.length * (lengthBytes + uuidBytes));
  let end = 0;
  for (const field of header) end = array.writeInt32BE(field, end);
  for (const id of ids) {
    end = array.writeInt32BE(id === null ? -1 : uuidBytes, end);
    if (id === null) continue;
    // Writing stops at a digit that is not hexadecimal, but takes only the low byte of a character beyond ASCII.
    const written = array.write(id.replaceAll("-", ""), end, "hex");
    if (written !== uuidBytes || Buffer.byteLength(id) !== uuidTextBytes) throw new Error("an id is no UUID");
    end += uuidBytes;
  }
  return array.subarray(0, end);
}
