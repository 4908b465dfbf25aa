import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { ChangeKind } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import { currentRun, parseRun } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";
import { type KeyColumn, keyType, storedTable } from "./stored-tables.ts";

/** A position in tables that are read one after the other: after the key of a row, or before all rows of a table. */
export interface StatePosition {
  /** The index of the table. */
  readonly table: number;
  /** The key of the last row that was read; empty at the beginning of the table. */
  readonly key: readonly string[];
}

/** What is read of a row `r`, by the names that rows have it under. */
type Columns = Readonly<Record<string, RawBuilder<unknown>>>;

/** A row of a table, whether nothing holds of it, and the run of the server. */
type PagedRow = Readonly<Record<string, unknown>> & { readonly is_over: boolean; readonly server: string };

/** Some rows of one table, and where the next page begins; undefined at the end. */
interface Page<Row> {
  readonly kind: ChangeKind;
  readonly rows: Row[];
  readonly next: StatePosition | undefined;
  /** The run of the server that the page is from: see `DatabaseState`. */
  readonly server: bigint;
}

interface Statements {
  /** The names of the columns after which a later page begins. */
  readonly position: readonly KeyColumn[];
  first(...values: (string | number)[]): CompiledQuery<Partial<PagedRow>>;
  later(...values: (string | number)[]): CompiledQuery<Partial<PagedRow>>;
}

/**
 * Reads tables page by page in the order of their keys, all rows or those of one owner. Each page is a short statement,
 * however many of its rows are left out. Left out are rows of which nothing holds, users who are being erased, and what
 * names them.
 */
export class TablePages<Row> {
  readonly #kinds: readonly ChangeKind[];
  readonly #ofAll: readonly Statements[];
  readonly #ofOwner: readonly Statements[];

  /** `kinds`: in the order in which they are read. `ofUsers`: what is read of a user besides the key. */
  constructor(kinds: readonly ChangeKind[], ofUsers: Columns = {}) {
    this.#kinds = kinds;
    const tables = kinds.map((kind) => ({ kind, more: kind === "user" ? ofUsers : {} }));
    this.#ofAll = tables.map((table) => {
      const position = keyOf(table);
      return {
        position,
        first: queryTemplate((limit) => page(table, { limit })),
        later: queryTemplate((limit, ...after) => page(table, { limit, after, position })),
      };
    });
    this.#ofOwner = tables.map((table) => {
      const position = keyOf(table).filter((name) => name !== "owner");
      return {
        position,
        first: queryTemplate((limit, owner) => page(table, { limit, owner })),
        later: queryTemplate((limit, owner, ...after) => page(table, { limit, owner, after, position })),
      };
    });
  }

  /**
   * Returns a page of at most `limit` rows of one table, the first one by default. Throws `INVALID_CURSOR` for a position
   * that no page has.
   */
  async read(
    executor: SqlExecutor,
    { after, limit, owner }: { after: StatePosition | undefined; limit: number; owner?: UserId | undefined },
    signal: AbortSignal | undefined,
  ): Promise<Page<Row>> {
    const { table: number, key } = after ?? { table: 0, key: [] };
    const kind = this.#kinds[number];
    const statements = (owner === undefined ? this.#ofAll : this.#ofOwner)[number];
    if (kind === undefined || statements === undefined) throw new PrivacyError("INVALID_CURSOR");
    const { position, first, later } = statements;
    if (key.length > 0 && key.length !== position.length) throw new PrivacyError("INVALID_CURSOR");
    const values = owner === undefined ? [limit] : [limit, owner];
    const query = key.length === 0 ? first(...values) : later(...values, ...key);
    const rows = await executor.read(query, signal);
    assertWritable(rows.length > 0 ? true : undefined);
    const found = rows.filter((row): row is PagedRow => row.owner != null);
    const last = found.at(-1);
    const isFull = found.length === limit && last !== undefined && position.length > 0;
    const following = number + 1 < this.#kinds.length ? { table: number + 1, key: [] } : undefined;
    return {
      kind,
      rows: found.filter(({ is_over }) => !is_over) as Row[],
      next: isFull ? { table: number, key: position.map((name) => String(last[name])) } : following,
      server: parseRun(rows[0]?.server ?? ""),
    };
  }
}

/** What is said of a row `r`. */
const stateColumns = {
  audience: sql`r.audience`,
  created_at: microsOf(sql`r.created_at`),
  expires_at: microsOf(sql`r.expires_at`),
  scopes: sql`r.scopes`,
};

/** Whether nothing holds of a row `r`. */
function isOver(kind: ChangeKind): RawBuilder<unknown> {
  // A row without a name is the lock of an unknown user.
  if (kind === "user") return sql`r.user_name = ''`;
  return storedTable(kind).state.includes("expires_at")
    ? sql`r.expires_at <= statement_timestamp()`
    : sql`false`;
}

interface PageValues {
  readonly limit: unknown;
  readonly owner?: unknown;
  /** The key after which the page begins, and the names of its columns. */
  readonly after?: readonly unknown[];
  readonly position?: readonly KeyColumn[];
}

interface PagedTable {
  readonly kind: ChangeKind;
  readonly more: Columns;
}

function keyOf({ kind }: PagedTable): KeyColumn[] {
  return Object.keys(storedTable(kind).key) as KeyColumn[];
}

/** A row of nulls comes from a server that takes changes and has no more rows; no row from one that takes none. */
function page(
  { kind, more }: PagedTable,
  { limit, owner, after = [], position = [] }: PageValues,
): RawBuilder<Partial<PagedRow>> {
  const { name, key, state } = storedTable(kind);
  const column = (logged: KeyColumn) => sql.ref(key[logged] ?? "");
  const columns = Object.values(key).map((of) => sql.ref(of));
  const users = Object.entries(key).flatMap(([logged, of]) =>
    logged === "setting" ? [] : [sql`r.${sql.ref(of)} = any (erased.ids)`],
  );
  const values = after.map((value, n) => sql`${value}::${keyType(position[n])}`);
  const conditions = [
    ...(owner === undefined ? [] : [sql`${column("owner")} = ${owner}`]),
    ...(after.length === 0 ? [] : [sql`(${sql.join(position.map(column))}) > (${sql.join(values)})`]),
  ];
  const condition = conditions.length === 0 ? sql`` : sql`where ${sql.join(conditions, sql` and `)}`;
  const selected = [
    ...Object.entries(key).map(([logged, of]) => sql`r.${sql.ref(of)} as ${sql.ref(logged)}`),
    ...state.map((of) => sql`${stateColumns[of]} as ${sql.ref(of)}`),
    ...Object.entries(more).map(([name, value]) => sql`${value} as ${sql.ref(name)}`),
    sql`${sql.join([isOver(kind), ...users], sql` or `)} as is_over`,
    sql`erased.server`,
  ];
  return sql<Partial<PagedRow>>`
    select ${sql.join(selected)}
    from (
      select array(select id from users where erased_at <= 'infinity') as ids,
        ${currentRun}::text as server
      where ${isWritable}
    ) erased
    left join (
      select * from ${sql.table(name)} ${condition} order by ${sql.join(columns)} limit ${limit}
    ) r on true
    order by ${sql.join(columns.map((of) => sql`r.${of}`))}`;
}
