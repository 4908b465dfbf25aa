import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { ChangeKind } from "../domain/changes.ts";
import { audiences, privacySettings } from "../domain/settings.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";
import { type KeyColumn, keyType, storedTable, storedTables } from "./stored-tables.ts";
import type { StatePosition } from "./table-pages.ts";

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
  readonly table: (typeof storedTables)[ChangeKind]["name"];
  readonly rows: number;
  readonly data: Uint8Array;
  /** Where the next page begins; undefined at the end. */
  readonly next: StatePosition | undefined;
}

/** A byte that says which of some words a column has. */
const indexIn = (words: readonly string[], column: string) =>
  sql`substring(int4send(array_position(${sql.lit(`{${words.join(",")}}`)}::text[], ${sql.ref(column)}) - 1) from 4)`;

/** The bytes of what is said of a key. When it was made, no decision depends on. */
const stateBytes = {
  audience: indexIn(audiences, "audience"),
  expires_at: sql`timestamptz_send(expires_at)`,
  scopes: sql`int2send(scopes)`,
};

/** In the order in which they are read. */
const kinds = ["user", "setting", "exception", "block", "mute", "follow"] as const;

interface PageRow {
  readonly is_writable: boolean;
  readonly kept: number;
  readonly data: Uint8Array | null;
  readonly last: readonly string[] | null;
}

type PageStatement = (...values: (string | number)[]) => CompiledQuery<PageRow>;

const statements: readonly { readonly first: PageStatement; readonly later: PageStatement }[] = kinds.map(
  (kind) => ({
    first: queryTemplate((limit) => pageOf(kind, limit)),
    later: queryTemplate((limit, ...after) => pageOf(kind, limit, after)),
  }),
);

function pageOf(kind: ChangeKind, limit: unknown, after: readonly unknown[] = []): RawBuilder<PageRow> {
  const { key, name, state } = storedTable(kind);
  const keys = Object.entries(key) as [KeyColumn, string][];
  const columns = sql.join(keys.map(([, column]) => sql.ref(column)));
  const values = after.map((value, n) => sql`${value}::${keyType(keys[n]?.[0])}`);
  const beyond = after.length === 0 ? sql`` : sql`where (${columns}) > (${sql.join(values)})`;
  const texts = sql.join(keys.map(([, column]) => sql`${sql.ref(column)}::text`));
  const bytes = sql.join(
    [
      ...keys.map(([logged, column]) =>
        logged === "setting" ? indexIn(privacySettings, column) : sql`uuid_send(${sql.ref(column)})`,
      ),
      ...state.flatMap((column) => (column === "created_at" ? [] : [stateBytes[column]])),
    ],
    sql` || `,
  );
  // A row without a name is the lock of an unknown user.
  const condition = kind === "user" ? sql`user_name <> '' and erased_at is null` : sql`true`;
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
    { table: number, key }: StatePosition = { table: 0, key: [] },
    limit: number,
    signal?: AbortSignal,
  ): Promise<GraphPage> {
    const kind = kinds[number];
    const templates = statements[number];
    if (kind === undefined || templates === undefined) throw new RangeError(`there is no table ${number}`);
    const query = key.length === 0 ? templates.first(limit) : templates.later(limit, ...key);
    const [row] = await this.#executor.read(query, signal);
    assertWritable(row?.is_writable);
    const { kept, data, last } = row as PageRow;
    const following = number + 1 < kinds.length ? { table: number + 1, key: [] } : undefined;
    return {
      table: storedTables[kind].name,
      rows: kept,
      data: data ?? new Uint8Array(),
      next: last === null ? following : { table: number, key: last },
    };
  }
}
