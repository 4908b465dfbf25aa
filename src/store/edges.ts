import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import { allScopes } from "../domain/changes.ts";
import type { ConsistencyToken, Written } from "../domain/consistency.ts";
import type { EdgeRecord, ListPosition } from "../domain/edges.ts";
import { type ErrorReason, PrivacyError, UnknownActorError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
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
  /** Why a second record about the same user fails. */
  readonly duplicateReason: ErrorReason;
  /** What a new record gives a row that has ended. */
  readonly replaced: RawBuilder<unknown>;
}

/** The new values of the columns that every record has: the key of the row stays. */
const replacedColumns = ["id", "created_at", "expires_at"];

/** What a new record gives a row that has ended: its own values of these columns and of `further` ones. */
export function replacedBy(...further: string[]): RawBuilder<unknown> {
  return sql.join(
    [...replacedColumns, ...further].map((name) => sql`${sql.ref(name)} = excluded.${sql.ref(name)}`),
  );
}

interface RecordRow extends UserRow {
  readonly record_id: string;
  readonly micros: string;
}

const recordColumns: readonly (keyof RecordRow)[] = [...userRowColumns, "record_id", "micros"];

type Nullable<T> = { readonly [K in keyof T]: T[K] | null };

type AddedRow = Nullable<RecordRow> & { readonly actor_known: boolean; readonly token: string };

interface RemovedRow {
  readonly actor_known: boolean;
  readonly target_known: boolean;
  readonly token: string;
}

/** Further data-modifying parts of a statement, each beginning with a comma. */
type Alongside = (actor: UserId, target: UserId) => RawBuilder<unknown>;

/**
 * The statements on the records of one table. Those that change something need the lock of the pair, and fail at once
 * when one of the users is being erased.
 */
export interface EdgeStatements {
  /** Adds a record unless one holds; one that has ended is replaced. `readAdded` reads the answer. */
  add(actor: UserId, target: UserId): CompiledQuery<AddedRow>;
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
  return {
    add: queryTemplate((actor, target) => addEdge(edge, actor, target, alongside(actor, target))),
    remove: queryTemplate((actor, target) => removeEdge(edge, actor, target)),
    list: (actor, limit, after) =>
      after === undefined
        ? firstPage(actor, limit)
        : laterPage(actor, limit, after.createdAt.toString(), after.id),
  };
}

function addEdge(
  edge: EdgeTable,
  actor: UserId,
  target: UserId,
  alongside: RawBuilder<unknown>,
): RawBuilder<AddedRow> {
  return sql<AddedRow>`
    with actor as (select id from users where id = ${actor} and erased_at is null for key share nowait),
    other as (
      select ${publicUserColumns} from users u
      where u.id = ${target} and u.erased_at is null for key share of u nowait
    ),
    added as (
      insert into ${edge.name} as e (${edge.owner}, ${edge.target}, id, created_at)
      select actor.id, other.id, gen_random_uuid(), clock_timestamp() from actor, other
      on conflict (${edge.owner}, ${edge.target}) do update set ${edge.replaced} where e.${lapsed}
      returning id as record_id, ${micros} as micros
    )${alongside}
    select exists (select from actor) as actor_known, other.*, added.record_id, added.micros,
      ${writeToken(sql`added.record_id is not null`)} as token
    from (values (1)) as always left join other on true left join added on true`;
}

/** Returns the record that was added. Throws the reason when none was. */
export function readAdded(edge: EdgeTable, rows: AddedRow[]): Written<EdgeRecord> {
  const [row] = rows;
  if (!row?.actor_known) throw new UnknownActorError();
  if (row.id === null) throw new PrivacyError("USER_NOT_FOUND");
  if (row.record_id === null) throw new PrivacyError(edge.duplicateReason);
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
      select known.*, e.id as record_id, e.created_at, ${micros} as micros
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
    expiresAt: null,
    scopes: allScopes,
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
