import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import { audiences, privacySettings } from "../domain/settings.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** What the rows of a page are about. */
type GraphTable = "users" | "privacy_settings" | "privacy_exceptions" | "blocks" | "mutes" | "follows";

/**
 * Some rows of one table, in the order of the primary key, as one text of bytes: numbers are big-endian. Each row has an id
 * of 16 bytes, then
 *
 * - `privacy_settings`: the index of the setting and that of the audience, a byte each,
 * - `privacy_exceptions`: the index of the setting, a byte, and the id of the excepted user,
 * - `blocks`: the id of the other user, and when the block ends,
 * - `mutes`: the same, and the scopes in two bytes,
 * - `follows`: the id of the other user.
 *
 * An end is eight bytes, in microseconds since 2000-01-01T00:00:00Z; the highest number is never.
 */
export interface GraphPage {
  readonly table: GraphTable;
  readonly rows: number;
  readonly data: Uint8Array;
  /** Where the next page begins; undefined at the end. */
  readonly next: GraphPosition | undefined;
}

/** A place in the tables: after a key, or before all rows of a table. */
export interface GraphPosition {
  readonly table: number;
  readonly key: readonly string[];
}

interface TableShape {
  readonly name: GraphTable;
  /** The columns of the primary key, in its order. */
  readonly key: readonly string[];
  /** What is read of a row, as bytes. */
  readonly bytes: RawBuilder<unknown>;
  readonly condition?: RawBuilder<unknown>;
}

/** A byte that says which of some words a column has. */
const indexIn = (words: readonly string[], column: string) =>
  sql`substring(int4send(array_position(${sql.lit(`{${words.join(",")}}`)}::text[], ${sql.ref(column)}) - 1) from 4)`;

const id = (column: string) => sql`uuid_send(${sql.ref(column)})`;
const end = sql`timestamptz_send(expires_at)`;

/** In the order in which they are read. */
const tables: readonly TableShape[] = [
  // A row without a name is the lock of an unknown user.
  {
    name: "users",
    key: ["id"],
    bytes: id("id"),
    condition: sql`user_name <> '' and erased_at is null`,
  },
  {
    name: "privacy_settings",
    key: ["user_id", "setting"],
    bytes: sql`${id("user_id")} || ${indexIn(privacySettings, "setting")} || ${indexIn(audiences, "audience")}`,
  },
  {
    name: "privacy_exceptions",
    key: ["user_id", "setting", "excepted_id"],
    bytes: sql`${id("user_id")} || ${indexIn(privacySettings, "setting")} || ${id("excepted_id")}`,
  },
  {
    name: "blocks",
    key: ["blocker_id", "blocked_id"],
    bytes: sql`${id("blocker_id")} || ${id("blocked_id")} || ${end}`,
  },
  {
    name: "mutes",
    key: ["muter_id", "muted_id"],
    bytes: sql`${id("muter_id")} || ${id("muted_id")} || ${end} || int2send(scopes)`,
  },
  {
    name: "follows",
    key: ["follower_id", "followee_id"],
    bytes: sql`${id("follower_id")} || ${id("followee_id")}`,
  },
];

interface PageRow {
  readonly is_writable: boolean;
  readonly kept: number;
  readonly data: Uint8Array | null;
  readonly last: readonly string[] | null;
}

type PageStatement = (...values: (string | number)[]) => CompiledQuery<PageRow>;

const statements: readonly { readonly first: PageStatement; readonly later: PageStatement }[] = tables.map(
  (table) => ({
    first: queryTemplate((limit) => pageOf(table, limit)),
    later: queryTemplate((limit, ...after) => pageOf(table, limit, after)),
  }),
);

function pageOf(
  { key, name, bytes, condition = sql`true` }: TableShape,
  limit: unknown,
  after: readonly unknown[] = [],
): RawBuilder<PageRow> {
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const values = after.map((value, n) => sql`${value}::${sql.raw(key[n] === "setting" ? "text" : "uuid")}`);
  const beyond = after.length === 0 ? sql`` : sql`where (${columns}) > (${sql.join(values)})`;
  const texts = sql.join(key.map((column) => sql`${sql.ref(column)}::text`));
  return sql<PageRow>`
    select ${isWritable} as is_writable,
      (count(*) filter (where ${condition}))::int as kept,
      string_agg(${bytes}, ''::bytea order by ${columns}) filter (where ${condition}) as data,
      (select array[${texts}] from ${sql.table(name)} ${beyond} order by ${columns} limit 1 offset ${limit}::int - 1) as last
    from (select * from ${sql.table(name)} ${beyond} order by ${columns} limit ${limit}) page`;
}

/** Reads the tables that decisions rest on, all rows of them. */
export class GraphPageReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns a page of at most `limit` rows, the first one by default. Rows that name users who are being erased, and what
   * has ended, are among them. Each page is a short statement with a snapshot of its own.
   */
  async read(
    { table: number, key }: GraphPosition = { table: 0, key: [] },
    limit: number,
    signal?: AbortSignal,
  ): Promise<GraphPage> {
    const table = tables[number];
    const templates = statements[number];
    if (table === undefined || templates === undefined) throw new RangeError(`there is no table ${number}`);
    const query = key.length === 0 ? templates.first(limit) : templates.later(limit, ...key);
    const [row] = await this.#executor.read(query, signal);
    assertWritable(row?.is_writable);
    const { kept, data, last } = row as PageRow;
    const following = number + 1 < tables.length ? { table: number + 1, key: [] } : undefined;
    return {
      table: table.name,
      rows: kept,
      data: data ?? new Uint8Array(),
      next: last === null ? following : { table: number, key: last },
    };
  }
}
