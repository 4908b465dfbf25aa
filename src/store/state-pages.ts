import type { Change } from "../domain/changes.ts";
import { blankRow, type ChangeRow, toChange } from "./change-rows.ts";
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

/** In an order that cursors rely on. Each row has the columns of a `ChangeRow`, as far as they are not blank. */
const pages = new TablePages<Partial<ChangeRow> & Pick<ChangeRow, "owner">>([
  "user",
  "setting",
  "exception",
  "block",
  "mute",
  "follow",
]);

/** See `ChangeLog.readState`. */
export async function readStatePage(
  executor: SqlExecutor,
  after: StatePosition | undefined,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<StatePage> {
  const { kind, rows, next, server } = await pages.read(executor, { after, limit }, signal);
  return { changes: rows.map((row) => toChange({ ...blankRow, ...row, kind })), next, server };
}
