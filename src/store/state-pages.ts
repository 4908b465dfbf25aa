import { sql } from "kysely";
import type { Change, ChangeKind } from "../domain/changes.ts";
import { type ChangeRow, microsOf, toChange } from "./change-rows.ts";
import type { SqlExecutor } from "./executor.ts";
import { type StatePosition, TablePages } from "./table-pages.ts";

export type { StatePosition } from "./table-pages.ts";

/** Some of what holds now. */
export interface StatePage {
  readonly changes: Change[];
  /** Where the next page begins; undefined at the end. */
  readonly next: StatePosition | undefined;
  /** The run of the server that the page is from: see `DatabaseState`. */
  readonly server: bigint;
}

const created_at = microsOf(sql`r.created_at`);
const expires_at = microsOf(sql`r.expires_at`);
const isOver = sql`r.expires_at <= statement_timestamp()`;

/** In the order in which they are read. Each has the columns of a `ChangeRow`, as far as they are not blank. */
const pages = new TablePages<ChangeKind, Partial<ChangeRow> & Pick<ChangeRow, "owner">>([
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
]);

/** See `ChangeLog.readState`. */
export async function readStatePage(
  executor: SqlExecutor,
  after: StatePosition | undefined,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<StatePage> {
  const { kind, rows, next, server } = await pages.read(executor, { after, limit }, signal);
  return { changes: rows.map((row) => toChange({ ...blank, ...row, kind })), next, server };
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
