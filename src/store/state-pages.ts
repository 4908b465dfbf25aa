import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { Change, ChangeKind } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import { type ChangeRow, microsOf, toChange } from "./change-rows.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** A position in the state: after the key of a row, or before all rows of a table. */
export interface StatePosition {
  /** The index of the table. */
  readonly table: number;
  /** The key of the last row that was read; empty at the beginning of the table. */
  readonly key: readonly string[];
}

/** Some of what holds now. */
export interface StatePage {
  readonly changes: Change[];
  /** Where the next page begins; undefined at the end. */
  readonly next: StatePosition | undefined;
}

type KeyColumn = "owner" | "setting" | "target";

/** A table of the state. */
interface StateTable {
  readonly name: string;
  readonly kind: ChangeKind;
  /** The columns of the primary key, in its order, by their columns of the log. */
  readonly key: Readonly<Partial<Record<KeyColumn, string>>>;
  /** What else the log has of a row `r`, by its columns of the log. */
  readonly state?: Readonly<Partial<Record<keyof ChangeRow, RawBuilder<unknown>>>>;
  /** Whether nothing holds of a row `r`. */
  readonly isOver?: RawBuilder<unknown>;
}

/** What a row of a table says, and whether it is over: nothing holds of it any more. */
type StateRow = Partial<ChangeRow> & Pick<ChangeRow, "owner"> & { readonly is_over: boolean };

const created_at = microsOf(sql`r.created_at`);
const expires_at = microsOf(sql`r.expires_at`);
const isOver = sql`r.expires_at <= statement_timestamp()`;

/** In the order in which they are read. */
const stateTables: readonly StateTable[] = [
  // A row without a name is the lock of an unknown user.
  { name: "users", kind: "user", key: { owner: "id" }, isOver: sql`r.user_name = ''` },
  {
    name: "privacy_settings",
    kind: "setting",
    key: { owner: "user_id", setting: "setting" },
    state: { audience: sql`r.audience` },
  },
  {
    name: "privacy_exceptions",
    kind: "exception",
    key: { owner: "user_id", setting: "setting", target: "excepted_id" },
  },
  {
    name: "blocks",
    kind: "block",
    key: { owner: "blocker_id", target: "blocked_id" },
    state: { created_at, expires_at },
    isOver,
  },
  {
    name: "mutes",
    kind: "mute",
    key: { owner: "muter_id", target: "muted_id" },
    state: { created_at, expires_at, scopes: sql`r.scopes` },
    isOver,
  },
  {
    name: "follows",
    kind: "follow",
    key: { owner: "follower_id", target: "followee_id" },
    state: { created_at },
  },
];

/** The statements that read the pages of each table: the first, and those after a key. */
const statements = stateTables.map((table) => ({
  first: queryTemplate((limit: number) => page(table, limit)),
  later: queryTemplate((limit: number, ...key: string[]) => page(table, limit, key)),
}));

/** A row of nulls comes from a server that takes changes and has no more rows; no row from one that takes none. */
function page(
  { name, key, state = {}, isOver = sql`false` }: StateTable,
  limit: number,
  after?: readonly string[],
): RawBuilder<Partial<StateRow>> {
  const columns = Object.values(key).map((column) => sql.ref(column));
  const users = Object.entries(key).flatMap(([logged, column]) =>
    logged === "setting" ? [] : [sql`r.${sql.ref(column)} = any (erased.ids)`],
  );
  const values = after?.map((value, n) => sql`${value}::${sql.raw(typeOf(Object.keys(key)[n]))}`);
  const beyond = values === undefined ? sql`` : sql`where (${sql.join(columns)}) > (${sql.join(values)})`;
  const selected = [
    ...Object.entries(key).map(([logged, column]) => sql`r.${sql.ref(column)} as ${sql.ref(logged)}`),
    ...Object.entries(state).map(([logged, value]) => sql`${value} as ${sql.ref(logged)}`),
    sql`${sql.join([isOver, ...users], sql` or `)} as is_over`,
  ];
  return sql<Partial<StateRow>>`
    select ${sql.join(selected)}
    from (select array(select id from users where erased_at is not null) as ids where ${isWritable}) erased
    left join (
      select * from ${sql.table(name)} ${beyond} order by ${sql.join(columns)} limit ${limit}
    ) r on true
    order by ${sql.join(columns.map((column) => sql`r.${column}`))}`;
}

function typeOf(logged: string | undefined): string {
  return logged === "setting" ? "text" : "uuid";
}

/** See `ChangeLog.readState`. */
export async function readStatePage(
  executor: SqlExecutor,
  after: StatePosition | undefined,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<StatePage> {
  const position = after ?? { table: 0, key: [] };
  const [table, statement] = [stateTables[position.table], statements[position.table]];
  if (table === undefined || statement === undefined) throw new PrivacyError("INVALID_CURSOR");
  const names = Object.keys(table.key) as KeyColumn[];
  if (position.key.length > 0 && position.key.length !== names.length)
    throw new PrivacyError("INVALID_CURSOR");
  const query: CompiledQuery<Partial<StateRow>> =
    position.key.length === 0 ? statement.first(limit) : statement.later(limit, ...position.key);
  const rows = await executor.read(query, signal);
  assertWritable(rows.length > 0 ? true : undefined);
  const found = rows.filter((row): row is StateRow => row.owner != null);
  const last = found.at(-1);
  const isFull = found.length === limit && last !== undefined;
  const following =
    position.table + 1 < stateTables.length ? { table: position.table + 1, key: [] } : undefined;
  return {
    changes: found
      .filter(({ is_over }) => !is_over)
      .map((row) => toChange({ ...blank, ...row, kind: table.kind })),
    next: isFull ? { table: position.table, key: names.map((name) => String(last[name])) } : following,
  };
}

/** What a row of the state has by default. */
const blank: Omit<ChangeRow, "owner" | "kind"> = {
  version: "0",
  cause: null,
  changed_at: null,
  target: null,
  present: true,
  created_at: null,
  expires_at: null,
  scopes: null,
  setting: null,
  audience: null,
};
