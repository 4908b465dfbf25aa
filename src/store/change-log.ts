import { type RawBuilder, sql } from "kysely";
import type { Change } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import { readBatchPage } from "./change-batches.ts";
import { microsOf } from "./change-rows.ts";
import { parseRun, runOfTick } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { readStatePage, type StatePage, type StatePosition } from "./state-pages.ts";
import { queryTemplate } from "./statement.ts";
import type { Run } from "./transaction.ts";

export type { StatePosition } from "./state-pages.ts";

/** A stored snapshot of the database. */
export interface Tick {
  /** Grows by one from tick to tick of a history. */
  readonly id: bigint;
  /** Tells histories apart that have the same ids. */
  readonly nonce: string;
  /** What the tick sees, as PostgreSQL writes it. */
  readonly snapshot: string;
  /** The tick sees everything that was committed before this time: in microseconds since 1970. */
  readonly at: bigint;
  /** The run of the server that stored the tick: see `DatabaseState`. */
  readonly server: bigint;
}

/** Names a tick of one history. */
export type TickName = Pick<Tick, "id" | "nonce">;

interface TickRow {
  readonly id: string;
  readonly nonce: string;
  readonly snapshot: string;
  readonly at: string;
  readonly server: string;
}

/** The least time between two ticks, over all instances. */
const tickInterval = sql.lit("50 ms");

const tickColumns = sql`t.id::text as id, t.nonce::text as nonce, t.snapshot::text as snapshot,
  ${microsOf(sql`t.at`)} as at, ${runOfTick}::text as server`;

const newest = sql`(select id, snapshot, at from ticks order by id desc limit 1)`;

/**
 * Whether a change is visible that the snapshot does not see: of a transaction that began later, or ran then and has ended.
 * Transactions that still run are left out by their ids, so that none of their rows is read, however many there are. Each
 * sub-select has an order and a limit: otherwise the planner may read the whole log.
 */
const hasChangesAfter = (snapshot: RawBuilder<unknown>) => sql`(
  (
    select true
    from (
      select xid, lead(xid, 1, pg_snapshot_xmax(pg_current_snapshot())) over (order by xid) as next_xid
      from (
        select (pg_snapshot_xmax(${snapshot})::text::bigint - 1)::text::xid8 as xid
        union all
        select xid from pg_snapshot_xip(pg_current_snapshot()) xid where xid >= pg_snapshot_xmax(${snapshot})
      ) bounds
    ) gap
    cross join lateral (
      select from changes c where c.xid > gap.xid and c.xid < gap.next_xid order by c.xid limit 1
    ) found
    limit 1
  ) is not null
  or (
    select true
    from pg_snapshot_xip(${snapshot}) running (xid)
    cross join lateral (select from changes c where c.xid = running.xid order by c.seq limit 1) found
    where pg_visible_in_snapshot(running.xid, pg_current_snapshot())
    limit 1
  ) is not null
)`;

/**
 * Whether the server has not reached the transaction ids of a snapshot: the log is from another server, by a dump, and nothing
 * can be told by comparing its transaction ids with those of this server.
 */
const isFromAnotherServer = (snapshot: RawBuilder<unknown>) =>
  sql`pg_snapshot_xmax(${snapshot}) > pg_snapshot_xmax(pg_current_snapshot())`;

// Either way: a clock that was set back must not end the ticks.
const isIntervalOver = sql`abs(extract(epoch from now() - last.at)) > extract(epoch from interval ${tickInterval})`;

const dueTick = queryTemplate(
  () => sql<{ is_due: boolean }>`
    select last.id is null
      or ${isFromAnotherServer(sql`last.snapshot`)}
      or (${isIntervalOver} and ${hasChangesAfter(sql`last.snapshot`)}) as is_due
    from (values (1)) as always left join ${newest} last on true
    where ${isWritable}`,
);

const startsNewHistory = queryTemplate(
  () => sql<{ is_new: boolean }>`
    select coalesce(${isFromAnotherServer(sql`last.snapshot`)}, false)
      or (
        select true from changes where xid >= pg_snapshot_xmax(pg_current_snapshot()) order by xid limit 1
      ) is not null as is_new
    from (values (1)) as always left join ${newest} last on true`,
);

// The statement sees the newest tick, so its snapshot is later than that of the tick. `now()` is earlier than the snapshot.
const storeTick = queryTemplate(
  (force: boolean) => sql<TickRow>`
    insert into ticks as t (id, snapshot, at)
    select coalesce(last.id, 0) + 1, pg_current_snapshot(), now()
    from (values (1)) as always left join ${newest} last on true
    where last.id is null or ${force}::boolean
      or (${isIntervalOver} and ${hasChangesAfter(sql`last.snapshot`)})
    on conflict (id) do nothing
    returning ${tickColumns}`,
);

const newestTickStatement = queryTemplate(
  () => sql<TickRow>`select ${tickColumns} from ticks t order by t.id desc limit 1`,
);

interface TickAfterRow extends TickRow {
  readonly is_writable: true;
  /** The time before which everything that was committed is visible to the statement. */
  readonly now: string;
  /** Whether changes are visible that the newest tick does not see. */
  readonly is_pending: boolean;
  readonly is_foreign: boolean;
}

/** Without a tick, the answer is one row that says only whether the server is one that takes changes. */
type TicksRow = TickAfterRow | { readonly id: null; readonly is_writable: boolean };

const ticksFrom = queryTemplate(
  (id: string, limit: number) => sql<TicksRow>`
    select ${tickColumns}, ${microsOf(sql`now()`)} as now, log.is_pending, log.is_foreign, server.is_writable
    from (select ${isWritable} as is_writable) server
    left join (
      select ${hasChangesAfter(sql`last.snapshot`)} as is_pending,
        ${isFromAnotherServer(sql`last.snapshot`)} as is_foreign
      from ${newest} last
    ) log on server.is_writable
    left join lateral (
      select id, nonce, snapshot, at, server_started_at, statistics_reset_at
      from ticks where id >= ${id}::bigint order by id limit ${limit}
    ) t on server.is_writable
    order by t.id`,
);

/**
 * The log of changes, read by ticks: the changes between two ticks are those that the later one sees and the earlier one
 * does not, in the order of their sequence numbers. A transaction is between two ticks as a whole, however long it was open.
 */
export class ChangeLog {
  readonly #executor: SqlExecutor;
  /** Whether the log was compared with the server once: every row of it, not only its newest tick. */
  #isChecked = false;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Stores a tick when something was committed that the newest one does not see, at most one in 50 ms over all instances;
   * with `force` in any case. Begins a new history when the log is from another server. Returns the tick that it stored.
   */
  async tick({ force = false }: { force?: boolean } = {}, signal?: AbortSignal): Promise<Tick | undefined> {
    if (!force && this.#isChecked) {
      const [row] = await this.#executor.read(dueTick(), signal);
      assertWritable(row !== undefined);
      if (row?.is_due !== true) return undefined;
    }
    const tick = await this.#executor.transaction(
      async (run) => {
        const [log] = await run(startsNewHistory());
        if (log?.is_new === true) await beginHistory(run);
        return storeTicks(run, force);
      },
      { signal },
    );
    this.#isChecked = true;
    return tick;
  }

  /** Returns the newest tick, and stores one when there is none. */
  async newestTick(signal?: AbortSignal): Promise<Tick> {
    const [row] = await this.#executor.read(newestTickStatement(), signal);
    if (row !== undefined) return toTick(row);
    return (await this.tick({ force: true }, signal)) ?? this.newestTick(signal);
  }

  /**
   * Returns a stored tick. Throws `CURSOR_EXPIRED` when the log no longer reaches back to it, and `HISTORY_CHANGED` when it
   * is of a history that was lost.
   */
  async findTick(name: TickName, signal?: AbortSignal): Promise<Tick> {
    const [row] = await this.#ticksFrom(name, 1, signal);
    return toTick(row);
  }

  /**
   * Returns at most `limit` ticks after one, oldest first. `through`, in microseconds since 1970: nothing that was committed
   * before is missing when the changes up to the last tick are applied. `now`: the time of the database when it was asked, after
   * the call. Throws as `findTick` does.
   */
  async ticksAfter(
    name: TickName,
    limit: number,
    signal?: AbortSignal,
  ): Promise<{ ticks: Tick[]; through: bigint; now: bigint }> {
    // The tick itself, and one more to see whether there are more.
    const rows = await this.#ticksFrom(name, limit + 2, signal);
    const last = rows[Math.min(limit, rows.length - 1)] as TickAfterRow;
    const isNewest = last === rows.at(-1);
    return {
      ticks: rows.slice(1, limit + 1).map(toTick),
      through: BigInt(isNewest && !last.is_pending ? last.now : last.at),
      now: BigInt(last.now),
    };
  }

  /**
   * Returns at most `limit` changes that `to` sees and `from` does not, in the order of their versions, those with a version
   * after `afterVersion`. Throws as `findTick` does for `from`: then changes may be missing.
   */
  async read(
    from: Tick,
    to: Tick,
    afterVersion: bigint,
    limit: number,
    signal?: AbortSignal,
  ): Promise<Change[]> {
    const changes = await readBatchPage(this.#executor, from, to.snapshot, afterVersion, limit, signal);
    if (changes !== undefined) return changes;
    await this.findTick(from, signal);
    // The tick is stored: the server took no changes for a moment.
    throw new PrivacyError("UNAVAILABLE", { cause: new Error("the server was read-only when it was asked") });
  }

  /**
   * Returns a page of what holds now, of at most `limit` keys of one table, and the position of the next page; none is the
   * end. Users who are being erased, what names them, and what has ended are left out.
   */
  readState(after: StatePosition | undefined, limit: number, signal?: AbortSignal): Promise<StatePage> {
    return readStatePage(this.#executor, after, limit, signal);
  }

  /** Returns the tick of that name and the ticks after it. */
  async #ticksFrom(
    { id, nonce }: TickName,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<[TickAfterRow, ...TickAfterRow[]]> {
    const rows = await this.#executor.read(ticksFrom(id.toString(), limit), signal);
    assertWritable(rows[0]?.is_writable);
    const [first, ...others] = rows.filter((row): row is TickAfterRow => row.id !== null);
    if (first === undefined || first.is_foreign) throw new PrivacyError("HISTORY_CHANGED");
    if (BigInt(first.id) !== id) throw new PrivacyError("CURSOR_EXPIRED");
    if (first.nonce !== nonce) throw new PrivacyError("HISTORY_CHANGED");
    return [first, ...others];
  }
}

/** Deletes the log, unless another instance has just done so. */
async function beginHistory(run: Run): Promise<void> {
  // Nobody else stores a tick or deletes changes until this transaction ends.
  await run(sql`lock table ticks in share row exclusive mode`);
  const [log] = await run(startsNewHistory());
  if (log?.is_new !== true) return;
  await run(sql`delete from ticks`);
  await run(sql`delete from changes`);
}

async function storeTicks(run: Run, force: boolean): Promise<Tick | undefined> {
  for (;;) {
    const [row] = await run(storeTick(force));
    if (row !== undefined) return toTick(row);
    // Another instance stored the tick of that id, maybe by an older snapshot.
    if (!force) return undefined;
  }
}

function toTick({ id, nonce, snapshot, at, server }: TickRow): Tick {
  return { id: BigInt(id), nonce, snapshot, at: BigInt(at), server: parseRun(server) };
}
