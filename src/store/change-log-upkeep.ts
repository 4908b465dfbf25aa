import { sql } from "kysely";
import type { SqlExecutor } from "./executor.ts";
import { queryTemplate } from "./statement.ts";

/** The rows that one transaction deletes of a table, or looks at. */
const rowsAtOnce = 10_000;
/** The users who are scrubbed at once. */
const usersAtOnce = 1_000;

// One transaction at a time deletes: another one would wait for its rows.
const lock = queryTemplate(
  () => sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('change-log-retention', 0)) as locked`,
);

/** Whether the second tick is old too: then the first one is not needed. */
const hasOldTicks = queryTemplate(
  (hours: number) => sql<{ is_due: boolean }>`
    select coalesce(
      (select at <= statement_timestamp() - ${hours} * interval '1 hour' from ticks order by id limit 1 offset 1),
      false
    ) as is_due`,
);

/** Deletes ticks before the newest one that is old: a follower who stands at that one has not been away for too long. */
const deleteTicks = queryTemplate(
  (hours: number) => sql<{ count: number }>`
    with deleted as (
      delete from ticks where id < (
        select max(id) from (
          select id, at from ticks order by id limit ${sql.lit(rowsAtOnce + 1)}
        ) oldest
        where at <= statement_timestamp() - ${hours} * interval '1 hour'
      )
      returning 1
    )
    select count(*)::int as count from deleted`,
);

const hasOldChanges = queryTemplate(
  () => sql<{ is_due: boolean }>`
    select coalesce(
      (select xid from changes order by xid limit 1)
        < (select pg_snapshot_xmin(snapshot) from ticks order by id limit 1),
      false
    ) as is_due`,
);

/** Deletes changes that the oldest tick sees, and every tick after it. */
const deleteChanges = queryTemplate(
  () => sql<{ count: number }>`
    with deleted as (
      delete from changes where ctid = any (array(
        select ctid from changes
        where xid < (select pg_snapshot_xmin(snapshot) from ticks order by id limit 1)
        order by xid
        limit ${sql.lit(rowsAtOnce)}
      ))
      returning 1
    )
    select count(*)::int as count from deleted`,
);

const erasedUsers = queryTemplate(
  () => sql<{ user_id: string; seq: string }>`
    select user_id, seq::text from erasures order by user_id limit ${sql.lit(usersAtOnce)}`,
);

interface RangeRow {
  /** The key of the last change of the range; null when there is none. */
  readonly xid: string | null;
  readonly seq: string | null;
}

/** Deletes the changes of a range that name one of the users and are older than the user's erasure. */
const scrubRange = queryTemplate(
  (users: string[], seqs: string[], xid: string, seq: string) => sql<RangeRow>`
    with part as materialized (
      select ctid as place, xid, seq, owner, target from changes
      where (xid, seq) > (${xid}::xid8, ${seq}::bigint)
      order by xid, seq
      limit ${sql.lit(rowsAtOnce)}
    ), erased as materialized (
      select * from unnest(${users}::uuid[], ${seqs}::bigint[]) e (user_id, seq)
    ), scrubbed as (
      delete from changes where ctid = any (array(
        select place from part join erased e on e.user_id = part.owner and part.seq < e.seq
        union
        select place from part join erased e on e.user_id = part.target and part.seq < e.seq
      ))
    )
    select xid::text, seq::text from part order by part.xid desc, part.seq desc limit 1`,
);

/** Forgets users who are scrubbed, but not those who were erased once more meanwhile. */
const forget = queryTemplate(
  (users: string[], seqs: string[]) => sql`
    delete from erasures e using unnest(${users}::uuid[], ${seqs}::bigint[]) scrubbed (user_id, seq)
    where e.user_id = scrubbed.user_id and e.seq = scrubbed.seq`,
);

/** A pass through the change log for some erased users, from its beginning to its end. */
interface Scrubbing {
  readonly users: string[];
  readonly seqs: string[];
  xid: string;
  seq: string;
}

/** Deletes what the change log need not keep. Each call does a small part, in short transactions that no writer waits for. */
export class ChangeLogUpkeep {
  readonly #executor: SqlExecutor;
  readonly #vacuums: boolean;
  #scrubbing: Scrubbing | undefined;

  /** `vacuums`: whether the database leaves it to this service to reclaim the space of deleted rows. */
  constructor(executor: SqlExecutor, { vacuums }: { vacuums: boolean }) {
    this.#executor = executor;
    this.#vacuums = vacuums;
  }

  /**
   * Deletes ticks that are older than the hours, and the changes before those that are kept. A follower who was away for less
   * can go on, however long the transactions took that it missed. Returns whether there is more to delete.
   */
  async retain(hours: number, signal?: AbortSignal): Promise<boolean> {
    const [ticks] = await this.#executor.read(hasOldTicks(hours), signal);
    const [changes] = await this.#executor.read(hasOldChanges(), signal);
    if (ticks?.is_due !== true && changes?.is_due !== true) return false;
    // In this order, each in a transaction of its own: whoever still sees a tick sees all changes after it.
    const deletedTicks = await this.#delete(deleteTicks(hours), signal);
    const deletedChanges = await this.#delete(deleteChanges(), signal);
    const hasMore = Math.max(deletedTicks, deletedChanges) >= rowsAtOnce;
    if (!hasMore && deletedTicks + deletedChanges > 0) await this.#vacuum(signal);
    return hasMore;
  }

  /**
   * Looks at a range of the change log for changes from before the erasures of users who were not scrubbed yet, and deletes
   * those that name them; their erasures stay. Returns whether there are more users or ranges.
   */
  async scrubErased(signal?: AbortSignal): Promise<boolean> {
    const users = await this.#executor.read(erasedUsers(), signal);
    const waiting = new Set(users.map(({ user_id }) => user_id));
    // Another instance may have scrubbed all of the pass under way.
    if (!this.#scrubbing?.users.some((user) => waiting.has(user))) this.#scrubbing = undefined;
    if (users.length === 0) return false;
    this.#scrubbing ??= begin(users);
    const pass = this.#scrubbing;
    const [last] = await this.#executor.transaction(
      (run) => run(scrubRange(pass.users, pass.seqs, pass.xid, pass.seq)),
      { signal },
    );
    if (last?.xid != null && last.seq != null) {
      Object.assign(pass, { xid: last.xid, seq: last.seq });
      return true;
    }
    await this.#executor.transaction((run) => run(forget(pass.users, pass.seqs)), { signal });
    this.#scrubbing = undefined;
    await this.#vacuum(signal);
    return users.length === usersAtOnce;
  }

  /** Returns how many rows a statement deleted: none while another transaction deletes. */
  async #delete(
    statement: ReturnType<typeof deleteChanges>,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    return this.#executor.transaction(
      async (run) => {
        const [row] = await run(lock());
        if (row?.locked !== true) return 0;
        return (await run(statement))[0]?.count ?? 0;
      },
      { signal },
    );
  }

  async #vacuum(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#vacuums) return;
    for (const table of ["changes", "ticks", "erasures"])
      await this.#executor.read(sql`vacuum ${sql.table(table)}`, signal);
  }
}

function begin(users: readonly { user_id: string; seq: string }[]): Scrubbing {
  return {
    users: users.map(({ user_id }) => user_id),
    seqs: users.map(({ seq }) => seq),
    xid: "0",
    seq: "0",
  };
}
