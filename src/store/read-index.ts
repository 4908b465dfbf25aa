import { type RawBuilder, sql } from "kysely";
import type { RelationshipFacts } from "../domain/access.ts";
import type { Change } from "../domain/changes.ts";
import type { DatabaseState } from "../domain/consistency.ts";
import type { UserId } from "../domain/users.ts";
import { columnsOf, type FactsQuery, factsOf, pairsOf, type QueryColumns } from "./access.ts";
import type { Tick } from "./change-log.ts";
import { blankRow, type ChangeRow, microsOf, toChange } from "./change-rows.ts";
import { currentRun, currentState, parseRun, parseState } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";
import { storedTables } from "./stored-tables.ts";

/** What a read goes on from. */
export interface ReadStart {
  /** The session that has read the snapshot. */
  readonly session: string;
  /** A tick whose changes the snapshot sees. While it is stored, the log has everything after it. */
  readonly base: Tick;
  /** As PostgreSQL writes it. */
  readonly snapshot: string;
}

/** What a copy in memory keeps of a change, with the transaction that made it. */
interface LoggedChange {
  readonly xid: bigint;
  readonly change: Change;
}

/** What a statement of the read index saw. */
export interface IndexRead {
  /** The snapshot of the statement, as PostgreSQL writes it, and as a state. */
  readonly snapshot: string;
  readonly state: DatabaseState;
  /** The time of the database when the statement began: in microseconds since 1970. */
  readonly now: number;
  /**
   * What the snapshot sees and the earlier one does not, in the order of the versions; undefined when it is more than was
   * asked for.
   */
  readonly changes: readonly LoggedChange[] | undefined;
}

/** A read with the facts of some queries, as the tables have them in the same snapshot. */
export interface AuditRead extends IndexRead {
  readonly facts: readonly RelationshipFacts[];
}

interface IndexRow {
  readonly is_writable: boolean;
  readonly session: string | null;
  readonly state: string;
  readonly now: string;
  readonly changes: readonly KeptRow[] | null;
}

type KeptRow = Omit<ChangeRow, "cause" | "changed_at" | "created_at"> & { readonly xid: string };

/** Without the times that no decision depends on: of a statement with very many changes they would be most of the work. */
const keptColumns = sql`c.seq::text as version, c.xid::text as xid, c.kind, c.owner, c.target, c.present,
  ${microsOf(sql`c.expires_at`)} as expires_at, c.scopes, c.setting, c.audience`;

/** The setting of the server's session that tells it apart from every other one. */
const sessionSetting = sql.lit("privacy.read_index");

/** The changes of transactions that began after a snapshot. */
const changesBegunAfter = (from: RawBuilder<unknown>, limit: RawBuilder<unknown>) => sql`
  (select * from changes
    where xid >= pg_snapshot_xmax(${from}::pg_snapshot) and xid < pg_snapshot_xmax(pg_current_snapshot())
    limit ${limit})`;

/** The changes of transactions that ran at a snapshot, and have ended. */
const changesEndedAfter = (from: RawBuilder<unknown>, limit: RawBuilder<unknown>) => sql`
  (select c.* from pg_snapshot_xip(${from}::pg_snapshot) running (xid)
    cross join lateral (select * from changes where xid = running.xid order by seq limit ${limit}) c
    where pg_visible_in_snapshot(running.xid, pg_current_snapshot())
    limit ${limit})`;

/** The values of a statement: the id and the nonce of the base, the snapshot, and the most changes. */
type StartColumns = readonly [id: string, nonce: string, from: string, limit: number];

const columnsFor = ([id, nonce]: StartColumns, changes: RawBuilder<unknown>) => sql`
  ${isWritable} as is_writable, ${currentState} as state,
  case when (select true from ticks where id = ${id}::bigint and nonce = ${nonce}::uuid) is not null
    then current_setting(${sessionSetting}, true) end as session,
  (extract(epoch from statement_timestamp()) * 1000000)::bigint::text as now,
  (select json_agg(r) from (select ${keptColumns} from (${changes}) c) r) as changes`;

// No transaction ran at the earlier snapshot, as at most times.
const readAfterIdle = queryTemplate(
  (...start: StartColumns) => sql<IndexRow>`select ${columnsFor(start, begunChanges(start))}`,
);

const begunChanges = ([, , from, limit]: StartColumns) => changesBegunAfter(sql`${from}`, sql`${limit}::int`);

const allChanges = ([, , from, limit]: StartColumns) => {
  const [after, most] = [sql`${from}`, sql`${limit}::int`];
  return sql`${changesBegunAfter(after, most)} union all ${changesEndedAfter(after, most)}`;
};

const readAfter = queryTemplate(
  (...start: StartColumns) => sql<IndexRow>`select ${columnsFor(start, allChanges(start))}`,
);

const auditAfter = queryTemplate(
  (id: string, nonce: string, from: string, limit: number, ...columns: QueryColumns) =>
    sql<IndexRow & { readonly facts: readonly RelationshipFacts[] | null }>`
      select ${columnsFor([id, nonce, from, limit], allChanges([id, nonce, from, limit]))},
        (select json_agg(f order by f.state::bigint) from (${factsOf(pairsOf(...columns), sql`q.n`)}) f) as facts`,
);

const beginSession = queryTemplate(
  (session: string) => sql`select set_config(${sessionSetting}, ${session}, false)`,
);

const serverRun = queryTemplate(() => sql<{ run: string }>`select ${currentRun}::text as run`);

/** Pairs of users with something between them, from the lowest owner after an id on. */
const sampleEdges = queryTemplate((after: string, limit: number) => {
  const { block, mute, follow } = storedTables;
  const samples = [block, mute, follow].map(
    ({ name, key: { owner, target } }) => sql`
    (select ${sql.ref(owner)} as owner, ${sql.ref(target)} as target from ${sql.table(name)}
      where ${sql.ref(owner)} >= ${after}::uuid order by ${sql.ref(owner)}, ${sql.ref(target)} limit ${limit}::int)`,
  );
  return sql<{ owner: UserId; target: UserId }>`${sql.join(samples, sql` union all `)}`;
});

/**
 * The read index: asks what has become visible since a snapshot, so that a copy which has all that the snapshot saw, with
 * what comes, is as current as the tables.
 *
 * Only within one session of the server: after a crash a transaction id that a snapshot has seen may be given to another
 * transaction. A random value in its settings identifies a session, since a pool or a pooler may
 * change to another session without an error.
 */
export class ReadIndex {
  readonly #executor: SqlExecutor;
  /** Of the last statement: while nothing changes, that of the next one is the same. */
  #lastState: { readonly text: string; readonly state: DatabaseState } | undefined;

  /** The executor must have one connection. */
  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Begins a session: snapshots that were read before are of no use any more. Returns its name. */
  async begin(signal?: AbortSignal): Promise<string> {
    const session = crypto.randomUUID();
    await this.#executor.read(beginSession(session), signal);
    return session;
  }

  /**
   * Returns the run of the server: see `DatabaseState`. What was seen in a run is not lost as long as it lasts: a stored tick
   * that was made later sees it too.
   */
  async serverRun(signal?: AbortSignal): Promise<bigint> {
    const [row] = await this.#executor.read(serverRun(), signal);
    return parseRun((row as { run: string }).run);
  }

  /**
   * Returns what has become visible since a snapshot, at most `limit` changes, by a statement that starts now; undefined
   * when the session is over, and when the base is not stored any more. Throws `UNAVAILABLE` when the server is not a
   * primary that takes changes.
   */
  async read(start: ReadStart, limit: number, signal?: AbortSignal): Promise<IndexRead | undefined> {
    const statement = start.snapshot.endsWith(":") ? readAfterIdle : readAfter;
    const [row] = await this.#executor.read(statement(...columnsOfStart(start, limit)), signal);
    return this.#toRead(row, start.session, limit);
  }

  /** As `read`, with the facts of some queries in the same snapshot, in their order. */
  async audit(
    start: ReadStart,
    limit: number,
    queries: readonly FactsQuery[],
    signal?: AbortSignal,
  ): Promise<AuditRead | undefined> {
    const statement = auditAfter(...columnsOfStart(start, limit), ...columnsOf(queries));
    const [row] = await this.#executor.read(statement, signal);
    const read = this.#toRead(row, start.session, limit);
    return read && { ...read, facts: row?.facts ?? [] };
  }

  /** Returns pairs of users with a block, a mute or a follow: at most `limit` of each, after a random id. */
  sampleEdges(limit: number, signal?: AbortSignal): Promise<{ owner: UserId; target: UserId }[]> {
    return this.#executor.read(sampleEdges(crypto.randomUUID(), limit), signal);
  }

  #toRead(row: IndexRow | undefined, session: string, limit: number): IndexRead | undefined {
    assertWritable(row?.is_writable);
    if (row?.session !== session) return undefined;
    const { state: text, now, changes } = row;
    if (this.#lastState?.text !== text) this.#lastState = { text, state: parseState(text) };
    return {
      snapshot: text.slice(text.indexOf(" ") + 1),
      state: this.#lastState.state,
      now: Number(now),
      changes: (changes?.length ?? 0) > limit ? undefined : inOrder(changes ?? []),
    };
  }
}

/** One change more than the limit shows that there are too many. */
function columnsOfStart({ base, snapshot }: ReadStart, limit: number): StartColumns {
  return [base.id.toString(), base.nonce, snapshot, limit + 1];
}

function inOrder(rows: NonNullable<IndexRow["changes"]>): LoggedChange[] {
  return rows
    .map((row) => ({ xid: BigInt(row.xid), change: toChange({ ...blankRow, ...row }) }))
    .sort((a, b) => (a.change.version < b.change.version ? -1 : 1));
}
