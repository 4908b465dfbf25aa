import { type RawBuilder, sql } from "kysely";
import type { SqlExecutor } from "./executor.ts";
import { queryTemplate } from "./statement.ts";

/** The condition that a row of blocks or mutes still holds: every statement that reads one has it. */
export const standing = sql`expires_at > statement_timestamp()`;

/** The condition that a row of blocks or mutes has ended: it counts as deleted. */
export const lapsed = sql`expires_at <= statement_timestamp()`;

/** The rows that one transaction deletes of each table. */
const rowsAtOnce = 500;

/** As a condition that the index of expiring rows has. */
const due = sql`${lapsed} and expires_at < 'infinity'`;

// Not by `exists`, for which the server could read the whole table.
const isAnyDue = queryTemplate(
  () => sql<{ due: boolean }>`
    select (select true from blocks where ${due} order by expires_at limit 1) is not null
      or (select true from mutes where ${due} order by expires_at limit 1) is not null as due`,
);

/**
 * Deletes rows that have ended, but for those that another transaction has locked: another sweep, or a user who blocks or
 * mutes again. The rows of a user whose erasure is under way are left to it, so that the change log names no erased user.
 */
const sweep = (name: RawBuilder<unknown>, owner: RawBuilder<unknown>, target: RawBuilder<unknown>) =>
  queryTemplate(
    () => sql<{ count: number }>`
      with due as (
        select ${owner} as due_owner, ${target} as due_target from ${name} e
        where ${due}
          and not exists (
            select from users u where u.erased_at is not null and (u.id = e.${owner} or u.id = e.${target})
          )
        order by expires_at
        limit ${sql.lit(rowsAtOnce)}
        for update of e skip locked
      ), gone as (
        delete from ${name} using due where ${owner} = due_owner and ${target} = due_target and ${lapsed}
        returning 1
      )
      select count(*)::int as count from gone`,
  );

const sweeps = [
  sweep(sql.table("blocks"), sql.ref("blocker_id"), sql.ref("blocked_id")),
  sweep(sql.table("mutes"), sql.ref("muter_id"), sql.ref("muted_id")),
];

/** Deletes blocks and mutes that have ended. No answer depends on it: ended rows count as deleted. */
export class ExpiryRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Deletes at most 500 blocks and 500 mutes that have ended, and returns how many it deleted. Waits for no lock. Changes
   * nothing, and begins no transaction, while none has ended.
   */
  async sweepExpired(signal?: AbortSignal): Promise<number> {
    const [row] = await this.#executor.read(isAnyDue(), signal);
    if (!row?.due) return 0;
    return this.#executor.transaction(
      async (run) => {
        let total = 0;
        for (const statement of sweeps) {
          const [gone] = await run(statement());
          total += gone?.count ?? 0;
        }
        return total;
      },
      { signal, cause: "expiry" },
    );
  }
}
