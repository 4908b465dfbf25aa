import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { Change } from "../domain/changes.ts";
import { type ChangeRow, changeColumns, toChange } from "./change-rows.ts";
import { queryTemplate } from "./statement.ts";

/** A snapshot with the name of the tick that stores it. */
interface StoredSnapshot {
  readonly id: bigint;
  readonly nonce: string;
  readonly snapshot: string;
}

/** A change, or nulls when there is none. */
type BatchRow = ChangeRow | { readonly [K in keyof ChangeRow]: null };

// Transactions that the earlier snapshot does not see and the later one does: those that began after the earlier one, and those
// that ran at its time. A condition on all that it does not see would read every change since the oldest running transaction.
const lowest = (from: RawBuilder<unknown>) => sql`pg_snapshot_xmax(${from}::pg_snapshot)`;
const running = (from: RawBuilder<unknown>) => sql`pg_snapshot_xip(${from}::pg_snapshot)`;

/**
 * The rows of a page, or one row of nulls, as long as the tick `id` is stored: changes are deleted only after the ticks before
 * them, so that a snapshot that sees the tick sees all changes after it.
 */
const whileStored = (id: string, nonce: string, page: RawBuilder<unknown>) => sql`
  select ${changeColumns}
  from (select from ticks where id = ${id}::bigint and nonce = ${nonce}::uuid) stored
  left join (${page}) c on true
  order by c.seq`;

/** Reads all changes of the transactions that began after the earlier snapshot, and sorts them. */
const sortedPage = queryTemplate(
  (id: string, nonce: string, from: string, to: string, after: string, limit: number) =>
    whileStored(
      id,
      nonce,
      sql`
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
      ) batch
      order by seq
      limit ${limit}`,
    ) as RawBuilder<BatchRow>,
);

/** Reads one page of each transaction of the batch, and merges them. */
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
    )}`,
);

/** For more transactions than this, to look into each of them takes longer than to read all of an ordinary batch. */
const maxMerged = 2_000n;

/**
 * The statement that reads at most `limit` changes that the snapshot `to` sees and the tick `from` does not, in the order of
 * their versions, after a version. `readBatch` reads the answer. Few transactions with very many changes are not read as a whole
 * for each page.
 */
export function batchPage(
  { id, nonce, snapshot: from }: StoredSnapshot,
  to: string,
  afterVersion: bigint,
  limit: number,
): CompiledQuery<BatchRow> {
  const isLaterPage = afterVersion > 0n;
  const page = isLaterPage && maxTransactions(from, to) <= maxMerged ? mergedPage : sortedPage;
  return page(id.toString(), nonce, from, to, afterVersion.toString(), limit);
}

/** Returns the changes of a page; undefined when the tick `from` is no longer stored. */
export function readBatch(rows: BatchRow[]): Change[] | undefined {
  if (rows.length === 0) return undefined;
  return rows.filter((row): row is ChangeRow => row.version !== null).map(toChange);
}

/** The most transactions that can be between two snapshots. PostgreSQL writes them as `xmin:xmax:xid,xid`. */
function maxTransactions(from: string, to: string): bigint {
  const [, begin = "0", running = ""] = from.split(":");
  const [, end = "0"] = to.split(":");
  return BigInt(end) - BigInt(begin) + BigInt(running.split(",").length);
}
