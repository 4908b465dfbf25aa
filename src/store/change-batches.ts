import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import { type ChangeRow, changeColumns } from "./change-rows.ts";
import { queryTemplate } from "./statement.ts";

// Transactions that the earlier snapshot does not see and the later one does: those that began after the earlier one, and those
// that ran at its time. A condition on all that it does not see would read every change since the oldest running transaction.
const lowest = (from: RawBuilder<unknown>) => sql`pg_snapshot_xmax(${from}::pg_snapshot)`;
const running = (from: RawBuilder<unknown>) => sql`pg_snapshot_xip(${from}::pg_snapshot)`;

/** Reads all changes of the transactions that began after the earlier snapshot, and sorts them. */
const sortedPage = queryTemplate(
  (from: string, to: string, after: string, limit: number) => sql<ChangeRow>`
    select ${changeColumns} from (
      select * from changes
      where xid >= ${lowest(sql`${from}`)} and xid < pg_snapshot_xmax(${to}::pg_snapshot)
        and pg_visible_in_snapshot(xid, ${to}::pg_snapshot) and seq > ${after}::bigint
      union all
      select c.* from ${running(sql`${from}`)} r (xid)
      cross join lateral (
        select * from changes where xid = r.xid and seq > ${after}::bigint order by seq limit ${limit}
      ) c
      where pg_visible_in_snapshot(r.xid, ${to}::pg_snapshot)
    ) c
    order by c.seq
    limit ${limit}`,
);

/** Reads one page of each transaction of the batch, and merges them. */
const mergedPage = queryTemplate(
  (from: string, to: string, after: string, limit: number) => sql<ChangeRow>`
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
    select ${changeColumns}
    from transactions t
    cross join lateral (
      select * from changes where xid = t.xid and seq > ${after}::bigint order by seq limit ${limit}
    ) c
    where pg_visible_in_snapshot(t.xid, ${to}::pg_snapshot)
    order by c.seq
    limit ${limit}`,
);

/** For more transactions than this, to look into each of them takes longer than to read all of an ordinary batch. */
const maxMerged = 2_000n;

/**
 * The statement that reads at most `limit` changes that the snapshot `to` sees and `from` does not, in the order of their
 * versions, after a version. Few transactions with very many changes are not read as a whole for each page.
 */
export function batchPage(
  from: string,
  to: string,
  afterVersion: bigint,
  limit: number,
): CompiledQuery<ChangeRow> {
  const isLaterPage = afterVersion > 0n;
  const page = isLaterPage && maxTransactions(from, to) <= maxMerged ? mergedPage : sortedPage;
  return page(from, to, afterVersion.toString(), limit);
}

/** The most transactions that can be between two snapshots. PostgreSQL writes them as `xmin:xmax:xid,xid`. */
function maxTransactions(from: string, to: string): bigint {
  const [, begin = "0", running = ""] = from.split(":");
  const [, end = "0"] = to.split(":");
  return BigInt(end) - BigInt(begin) + BigInt(running.split(",").length);
}
