import { type RawBuilder, sql } from "kysely";
import type { SqlExecutor } from "./executor.ts";

/** What operators want to know of the change log. */
export interface ChangeLogFigures {
  /** How old the newest tick is, in seconds; 0 without one. */
  readonly tickAge: number;
  /** How old the oldest change is, in seconds; 0 without one. */
  readonly oldestChangeAge: number;
  /** The id of the oldest transaction that changes something and has not ended, in any database of the server. */
  readonly openTransaction: string | null;
  /** Erased users whose rows are still to be scrubbed. */
  readonly erasures: number;
}

/** How long ago a time was, in seconds; 0 when there is none. */
const ageOf = (time: RawBuilder<unknown>) =>
  sql`coalesce(extract(epoch from statement_timestamp() - ${time}), 0)::float8`;

/** Reads the figures of the change log. */
export class ChangeLogFiguresReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  async read(signal?: AbortSignal): Promise<ChangeLogFigures> {
    const [figures] = await this.#executor.read(
      sql<ChangeLogFigures>`
        select
          ${ageOf(sql`(select at from ticks order by id desc limit 1)`)} as "tickAge",
          ${ageOf(sql`(select at from changes order by xid, seq limit 1)`)} as "oldestChangeAge",
          (select xid from pg_snapshot_xip(pg_current_snapshot()) xid order by xid limit 1)::text as "openTransaction",
          (select count(*)::int from erasures) as "erasures"`,
      signal,
    );
    if (figures === undefined) throw new Error("the figures of the change log are missing");
    return figures;
  }
}
