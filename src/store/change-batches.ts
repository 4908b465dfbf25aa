import { type RawBuilder, sql } from "kysely";
import type { Change } from "../domain/changes.ts";
import { type ChangeRow, changeColumns, toChange } from "./change-rows.ts";
import type { SqlExecutor } from "./executor.ts";
import { isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

/** A snapshot with the name of the tick that stores it. */
interface StoredSnapshot {
  readonly id: bigint;
  readonly nonce: string;
  readonly snapshot: string;
}

/** A change, or nulls when there is none. `is_page`: whether the rows are those of the page. */
type BatchRow = (ChangeRow | { readonly [K in keyof ChangeRow]: null }) & { readonly is_page: boolean };

// Transactions that the earlier snapshot does not see and the later one does: those that began after the earlier one, and those
// that ran at its time. A condition on all that it does not see would read every change since the oldest running transaction.
const lowest = (from: RawBuilder<unknown>) => sql`pg_snapshot_xmax(${from}::pg_snapshot)`;
const running = (from: RawBuilder<unknown>) => sql`pg_snapshot_xip(${from}::pg_snapshot)`;

/**
 * The rows of a page, or one row of nulls, as long as the server takes changes and the tick `id` is stored: changes are
 * deleted only after the ticks before them, so that a snapshot that sees the tick sees all changes after it.
 */
const whileStored = (
  id: string,
  nonce: string,
  page: RawBuilder<unknown>,
  isPage: RawBuilder<unknown>,
) => sql`
  select ${changeColumns}, ${isPage} as is_page
  from (select from ticks where id = ${id}::bigint and nonce = ${nonce}::uuid and ${isWritable}) stored
  left join (${page}) c on true
  order by c.seq`;

/** The most changes that are sorted for a page: for a larger batch it takes longer than to merge its transactions. */
const maxSorted = 10_000;

/** Reads all changes of a batch, and sorts them; none when they are too many. */
const sortedPage = queryTemplate(
  (id: string, nonce: string, from: string, to: string, after: string, limit: number) => sql<BatchRow>`
    with batch as materialized (
      select * from (
        select * from changes
        where xid >= ${lowest(sql`${from}`)} and xid < pg_snapshot_xmax(${to}::pg_snapshot)
          and pg_visible_in_snapshot(xid, ${to}::pg_snapshot) and seq > ${after}::bigint
        union all
        select c.* from ${running(sql`${from}`)} r (xid)
        cross join lateral (
          select * from changes where xid = r.xid and seq > ${after}::bigint order by seq limit ${limit}
        ) c
        where pg_visible_in_snapshot(r.xid, ${to}::pg_snapshot)
      ) unsorted
      limit ${sql.lit(maxSorted + 1)}
    )
    ${whileStored(
      id,
      nonce,
      sql`
      select * from batch where (select count(*) from batch) <= ${sql.lit(maxSorted)} order by seq limit ${limit}`,
      sql`(select count(*) from batch) <= ${sql.lit(maxSorted)}`,
    )}`,
);

/** Reads one page of each transaction of a batch, and merges them. */
const mergedPage = queryTemplate(
  (id: string, nonce: string, from: string, to: string, after: string, limit: number) => sql<BatchRow>`
    with recursive begun (xid) as (
      (
        select xid from changes
        where xid >= ${lowest(sql`${from}`)} and xid < pg_snapshot_xmax(${to}::pg_snapshot)
        order by xid limit 1
      )
      union all
      select (
        select c.xid from changes c
        where c.xid > begun.xid and c.xid < pg_snapshot_xmax(${to}::pg_snapshot)
        order by c.xid limit 1
      ) from begun where begun.xid is not null
    ),
    transactions (xid) as (
      select xid from begun where xid is not null
      union all
      select ${running(sql`${from}`)}
    )
    ${whileStored(
      id,
      nonce,
      sql`
      select c.* from transactions t
      cross join lateral (
        select * from changes where xid = t.xid and seq > ${after}::bigint order by seq limit ${limit}
      ) c
      where pg_visible_in_snapshot(t.xid, ${to}::pg_snapshot)
      order by seq
      limit ${limit}`,
      sql`true`,
    )}`,
);

/** For more transactions than this, to look into each of them takes longer than to sort what may be few changes. */
const maxMerged = 500n;

/**
 * Reads at most `limit` changes that the snapshot `to` sees and the tick `from` does not, in the order of their versions, after
 * a version; undefined when the tick `from` is no longer stored, or the server takes no changes. No batch is so large that a page takes long.
 */
export async function readBatchPage(
  executor: SqlExecutor,
  { id, nonce, snapshot: from }: StoredSnapshot,
  to: string,
  afterVersion: bigint,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Change[] | undefined> {
  const values = [id.toString(), nonce, from, to, afterVersion.toString(), limit] as const;
  // Later pages are those of a batch with many changes.
  const isMerged = afterVersion > 0n && maxTransactions(from, to) <= maxMerged;
  let rows = await executor.read(isMerged ? mergedPage(...values) : sortedPage(...values), signal);
  if (rows[0]?.is_page === false) rows = await executor.read(mergedPage(...values), signal);
  if (rows.length === 0) return undefined;
  return rows.filter((row): row is BatchRow & ChangeRow => row.version !== null).map(toChange);
}

/** The most transactions that can be between two snapshots. PostgreSQL writes them as `xmin:xmax:xid,xid`. */
function maxTransactions(from: string, to: string): bigint {
  const [, begin = "0", running = ""] = from.split(":");
  const [, end = "0"] = to.split(":");
  return BigInt(end) - BigInt(begin) + BigInt(running.split(",").length);
}
