import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { ConsistencyToken, Written } from "../domain/consistency.ts";
import type { EdgeRecord, EdgeTerms, EdgeTermsChange, ListPosition } from "../domain/edges.ts";
import { type ErrorReason, PrivacyError, UnknownActorError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import { parseToken, writeToken } from "./consistency.ts";
import { lapsed, standing } from "./expiry.ts";
import { queryTemplate } from "./statement.ts";
import { publicUserColumns, toUser, type UserRow, userRowColumns } from "./users.ts";

/** What differs between the tables of blocks and of mutes. */
export interface EdgeTable {
  readonly name: RawBuilder<unknown>;
  /** The column of the user who made the record. */
  readonly owner: RawBuilder<unknown>;
  /** The column of the other user. */
  readonly target: RawBuilder<unknown>;
  /** The columns of its terms; without `scopes` a record covers everything. */
  readonly terms: readonly (keyof TermColumns)[];
  /** Why a second record about the same user fails. */
  readonly duplicateReason: ErrorReason;
  /** Why a change fails when there is no record. */
  readonly absentReason: ErrorReason;
}

interface TermColumns {
  readonly expires_at: unknown;
  readonly scopes: unknown;
}

interface RecordRow extends UserRow {
  readonly record_id: string;
  /** When it was made and when it ends, in microseconds since 1970; null: never. */
  readonly micros: string;
  readonly ends: string | null;
  readonly scopes: number;
}

const recordColumns: readonly (keyof RecordRow)[] = [
  ...userRowColumns,
  "record_id",
  "micros",
  "ends",
  "scopes",
];

/** The columns of a `RecordRow` that are of the record, from a row `e` of the table. */
const ownColumns = (edge: EdgeTable) => sql`e.id as record_id, ${micros} as micros,
  ${microsOf(sql`e.expires_at`)} as ends, ${scopesOf(edge)} as scopes`;

const scopesOf = ({ terms }: EdgeTable) => (terms.includes("scopes") ? sql`e.scopes` : sql.lit(allScopes));

type Nullable<T> = { readonly [K in keyof T]: T[K] | null };

/** The answer of a statement that adds or changes a record. */
type WrittenRow = Nullable<RecordRow> & {
  readonly actor_known: boolean;
  /** Whether the expiry that was asked for is allowed. */
  readonly expiry_allowed: boolean;
  readonly token: string;
};

interface RemovedRow {
  readonly actor_known: boolean;
  readonly target_known: boolean;
  readonly token: string;
}

/**
 * Further data-modifying parts of a statement, each beginning with a comma. They change nothing unless a record was
 * `added`: a change that fails may be committed, see `makeOnce`.
 */
type Alongside = (actor: UserId, target: UserId) => RawBuilder<unknown>;

/**
 * The statements on the records of one table. Those that change something need the lock of the pair, and fail at once
 * when one of the users is being erased.
 */
export interface EdgeStatements {
  /** Adds a record unless one holds; one that has ended is replaced. `readAdded` reads the answer. */
  add(actor: UserId, target: UserId, terms: EdgeTerms): CompiledQuery<WrittenRow>;
  /** Changes the terms of a record that holds. `readUpdated` reads the answer. */
  update(actor: UserId, target: UserId, change: EdgeTermsChange): CompiledQuery<WrittenRow>;
  /** Removes a record if there is one. `readRemoved` reads the answer. */
  remove(actor: UserId, target: UserId): CompiledQuery<RemovedRow>;
  /** Lists at most `limit` records of a user after a position, newest first. `readList` reads the answer. */
  list(actor: UserId, limit: number, after?: ListPosition): CompiledQuery<Nullable<RecordRow>>;
}

/** Makes the statements of a table. `alongside`: further changes when a record is added. */
export function edgeStatements(edge: EdgeTable, alongside: Alongside = () => sql``): EdgeStatements {
  const firstPage = queryTemplate((actor: UserId, limit: number) => listEdges(edge, actor, limit));
  const laterPage = queryTemplate((actor: UserId, limit: number, createdAt: string, id: string) =>
    listEdges(
      edge,
      actor,
      limit,
      sql`and (e.created_at, e.id) < (${timestampFromMicros(sql`${createdAt}::bigint`)}, ${id})`,
    ),
  );
  const add = queryTemplate((actor: UserId, target: UserId, ...terms: TermValues) =>
    addEdge(edge, actor, target, terms, alongside(actor, target)),
  );
  const update = queryTemplate((actor: UserId, target: UserId, setsExpiry: boolean, ...terms: TermValues) =>
    updateEdge(edge, actor, target, setsExpiry, terms),
  );
  return {
    add: (actor, target, { expiresAt, scopes }) => add(actor, target, expiresAt?.toString() ?? null, scopes),
    update: (actor, target, { expiresAt, scopes = null }) =>
      update(actor, target, expiresAt !== undefined, expiresAt?.toString() ?? null, scopes),
    remove: queryTemplate((actor, target) => removeEdge(edge, actor, target)),
    list: (actor, limit, after) =>
      after === undefined
        ? firstPage(actor, limit)
        : laterPage(actor, limit, after.createdAt.toString(), after.id),
  };
}

/** An expiry in microseconds since 1970, null for none; scopes, null where a change leaves them. */
type TermValues = [expiresAt: string | null, scopes: number | null];

/**
 * The values of the terms as columns of one row: `expires_at`, `scopes`, and `expiry_allowed`, by the clock of
 * the database.
 */
const termValues = ([expiresAt, scopes]: TermValues) => sql`
  select ends as expires_at, ${scopes}::smallint as scopes,
    ends = 'infinity' or ends
      between statement_timestamp() + interval '1 minute' and statement_timestamp() + interval '10 years' as expiry_allowed
  from (select coalesce(${timestampFromMicros(sql`${expiresAt}::bigint`)}, 'infinity') as ends) as given`;

/** The two users of a change, locked: the change fails at once when one of them is being erased. */
const lockedUsers = (actor: UserId, target: UserId) => sql`
  actor as (select id from users where id = ${actor} and erased_at is null for key share nowait),
  other as (
    select ${publicUserColumns} from users u
    where u.id = ${target} and u.erased_at is null for key share of u nowait
  )`;

const columnsOf = (table: string, columns: readonly string[]) =>
  sql.join(columns.map((column) => sql.ref(`${table}.${column}`)));

const assignments = (table: string, columns: readonly string[]) =>
  sql.join(columns.map((column) => sql`${sql.ref(column)} = ${sql.ref(`${table}.${column}`)}`));

function addEdge(
  edge: EdgeTable,
  actor: UserId,
  target: UserId,
  values: TermValues,
  alongside: RawBuilder<unknown>,
): RawBuilder<WrittenRow> {
  return sql<WrittenRow>`
    with ${lockedUsers(actor, target)},
    terms as (${termValues(values)}),
    added as (
      insert into ${edge.name} as e (${edge.owner}, ${edge.target}, id, created_at, ${sql.join(edge.terms.map(sql.ref))})
      select actor.id, other.id, gen_random_uuid(), clock_timestamp(), ${columnsOf("terms", edge.terms)}
      from actor, other, terms where terms.expiry_allowed
      on conflict (${edge.owner}, ${edge.target}) do update
        set ${assignments("excluded", ["id", "created_at", ...edge.terms])} where e.${lapsed}
      returning ${ownColumns(edge)}
    )${alongside}
    select exists (select from actor) as actor_known, terms.expiry_allowed, other.*,
      added.record_id, added.micros, added.ends, added.scopes,
      ${writeToken(sql`added.record_id is not null`)} as token
    from terms left join other on true left join added on true`;
}

/** Returns the record that was added. Throws the reason when none was. */
export function readAdded(edge: EdgeTable, rows: WrittenRow[]): Written<EdgeRecord> {
  return readWritten(edge.duplicateReason, rows);
}

function updateEdge(
  edge: EdgeTable,
  actor: UserId,
  target: UserId,
  /** Whether the expiry changes. */
  setsExpiry: boolean,
  values: TermValues,
): RawBuilder<WrittenRow> {
  // The record is locked before it is compared: neither a sweep nor a change by hand comes in between.
  return sql<WrittenRow>`
    with ${lockedUsers(actor, target)},
    terms as (${termValues(values)}),
    held as (
      select e.id, e.created_at, e.expires_at, ${scopesOf(edge)} as scopes
      from ${edge.name} e
      where e.${edge.owner} = ${actor} and e.${edge.target} = ${target} and e.${standing}
        and (select count(*) from actor) + (select count(*) from other) = 2
      for update
    ),
    wanted as (
      select held.id, held.created_at, coalesce(terms.scopes, held.scopes) as scopes,
        case when ${setsExpiry}::boolean then terms.expires_at else held.expires_at end as expires_at
      from held, terms where terms.expiry_allowed
    ),
    updated as (
      update ${edge.name} as e set ${assignments("wanted", edge.terms)}
      from held, wanted
      where e.${edge.owner} = ${actor} and e.${edge.target} = ${target}
        and (held.expires_at, held.scopes) <> (wanted.expires_at, wanted.scopes)
      returning 1
    )
    select exists (select from actor) as actor_known, terms.expiry_allowed, other.*, ${ownColumns(edge)},
      ${writeToken(sql`exists (select from updated)`)} as token
    from terms left join other on true left join wanted e on true`;
}

/** Returns the record as it is now. Throws the reason when there is none. */
export function readUpdated(edge: EdgeTable, rows: WrittenRow[]): Written<EdgeRecord> {
  return readWritten(edge.absentReason, rows);
}

/** `reason`: why there is no record, when the users and the terms are in order. */
function readWritten(reason: ErrorReason, rows: WrittenRow[]): Written<EdgeRecord> {
  const [row] = rows;
  if (!row?.actor_known) throw new UnknownActorError();
  if (row.id === null) throw new PrivacyError("USER_NOT_FOUND");
  if (!row.expiry_allowed) throw new PrivacyError("INVALID_EXPIRY");
  if (row.record_id === null) throw new PrivacyError(reason);
  return { result: toRecord(row as RecordRow), token: parseToken(row.token) };
}

function removeEdge(edge: EdgeTable, actor: UserId, target: UserId): RawBuilder<RemovedRow> {
  // The rows of the users are locked, as when a record is added. The record is not: locking it takes a right that
  // the service may lack.
  return sql<RemovedRow>`
    with actor as (select id from users where id = ${actor} and erased_at is null for key share nowait),
    other as (select id from users where id = ${target} and erased_at is null for key share nowait),
    removed as (
      delete from ${edge.name} where ${edge.owner} = ${actor} and ${edge.target} = ${target}
        and (select count(*) from actor) + (select count(*) from other) = 2
      returning 1
    )
    select exists (select from actor) as actor_known, exists (select from other) as target_known,
      ${writeToken(sql`exists (select from removed)`)} as token`;
}

/** Returns the token of a removal. Throws when one of the two users was unknown. */
export function readRemoved(rows: RemovedRow[]): ConsistencyToken {
  const [row] = rows;
  if (!row?.actor_known) throw new UnknownActorError();
  if (!row.target_known) throw new PrivacyError("USER_NOT_FOUND");
  return parseToken(row.token);
}

/** `beyond`: a further condition, beginning with `and`. */
function listEdges(
  edge: EdgeTable,
  actor: UserId,
  limit: number,
  beyond: RawBuilder<unknown> = sql``,
): RawBuilder<Nullable<RecordRow>> {
  return sql<Nullable<RecordRow>>`
    select ${sql.join(recordColumns.map((name) => sql.ref(`page.${name}`)))}
    from users actor
    left join (
      select known.*, e.created_at, ${ownColumns(edge)}
      from ${edge.name} e
      cross join lateral (
        select ${publicUserColumns} from users u where u.id = e.${edge.target} and u.erased_at is null limit 1
      ) known
      where e.${edge.owner} = ${actor} and e.${standing} ${beyond}
      order by e.created_at desc, e.id desc
      limit ${limit}
    ) page on true
    where actor.id = ${actor} and actor.erased_at is null
    order by page.created_at desc, page.record_id desc`;
}

/** Returns the records that were found. Throws `UnknownActorError` when the acting user is unknown. */
export function readList(rows: Nullable<RecordRow>[]): EdgeRecord[] {
  if (rows.length === 0) throw new UnknownActorError();
  return rows.filter((row): row is RecordRow => row.record_id !== null).map(toRecord);
}

function toRecord(row: RecordRow): EdgeRecord {
  return {
    id: row.record_id,
    user: toUser(row),
    createdAt: BigInt(row.micros),
    expiresAt: row.ends === null ? null : BigInt(row.ends),
    scopes: row.scopes,
  };
}

/** The column `created_at` in microseconds since 1970, as text: drivers round timestamps to milliseconds. */
export const micros = sql`(extract(epoch from created_at) * 1000000)::bigint::text`;

/** The timestamp of a number of microseconds since 1970, exactly: intervals are multiplied in floating point. */
export function timestampFromMicros(count: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`timestamptz 'epoch' + ${count} / 1000000 * interval '1 second'
    + ${count} % 1000000 * interval '1 microsecond'`;
}

/** The timestamp of a position, to the microsecond. */
export function timestampOf({ createdAt }: Pick<ListPosition, "createdAt">): RawBuilder<unknown> {
  return timestampFromMicros(sql`${createdAt.toString()}::bigint`);
}
