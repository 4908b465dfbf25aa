import type pg from "pg";
import { type ConsistencyToken, type DatabaseState, includes } from "../../../src/domain/consistency.ts";
import { isSatisfiedBy, parseRun, parseState, tokenView } from "../../../src/store/consistency.ts";

/** A question of one row, and what its answer means. */
export interface Probe {
  readonly sql: string;
  readonly values: readonly unknown[];
  isSatisfied(row: Record<string, unknown>): boolean;
}

/** A way to tell whether a server has what a write or a decision saw. */
export interface Way {
  /** Called after the write or decision, with connections to the primary. Returns how to ask another server. */
  prepare(token: ConsistencyToken, primary: pg.Pool): Promise<Probe>;
}

/** The service's own. */
const rows: Way = {
  async prepare(token) {
    const { sql, parameters } = tokenView(token);
    return {
      sql,
      values: parameters,
      isSatisfied: (row) => isSatisfiedBy(row as unknown as Parameters<typeof isSatisfiedBy>[0], token),
    };
  },
};

/** Ways that fail: each takes something for a proof that is none. */
export const mutants = {
  /** A standby's own snapshot lists no running transaction, and an id may be given out again. */
  "bare transaction id": {
    async prepare(token) {
      return {
        sql: "select concat('0.000000 ', pg_current_snapshot()) as state",
        values: [],
        isSatisfied: ({ state }) => includes(parseState(String(state)), { ...token, server: 0n }),
      };
    },
  },
  /** The statement's snapshot is older than the position that it reads. */
  "log position": {
    async prepare(_, primary) {
      const { rows } = await primary.query("select pg_current_wal_lsn()::text as lsn");
      return {
        sql: `select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end
          >= $1::pg_lsn as has_replayed`,
        values: [rows[0].lsn],
        isSatisfied: ({ has_replayed }) => has_replayed === true,
      };
    },
  },
  /** Transactions commit in another order than that of their ids: the newest one proves nothing of the others. */
  "newest change as evidence": {
    async prepare(token, primary) {
      if (token.kind === "write") return rows.prepare(token, primary);
      const newest = "select xid::text, at::text from changes order by xid desc, seq desc limit 1";
      const [evidence] = (await primary.query(newest)).rows;
      const anyServer: DatabaseState = { ...token, server: 0n };
      return {
        sql: `select (select true from changes where xid = $1 and at = $2 limit 1) as is_there,
          (select concat('0.000000 ', snapshot) from ticks order by id desc limit 1) as state`,
        values: [evidence?.xid, evidence?.at],
        isSatisfied: ({ is_there, state }) =>
          is_there === true && includes(parseState(String(state)), anyServer),
      };
    },
  },
  /** A crash of one process of the server does not change it, and takes back commits. */
  "time of start as identity": {
    async prepare(token, primary) {
      const start = "extract(epoch from pg_postmaster_start_time())";
      const { rows } = await primary.query(`select ${start} as server`);
      return {
        sql: `select concat(${start}, ' ', pg_current_snapshot()) as state`,
        values: [],
        isSatisfied: ({ state }) =>
          includes(parseState(String(state)), { ...token, server: parseRun(rows[0].server) }),
      };
    },
  },
} satisfies Record<string, Way>;

/** What loses writes that each of them takes to be there. */
export const lossOf = {
  "bare transaction id": "a failover",
  "log position": "a failover",
  "newest change as evidence": "a failover",
  "time of start as identity": "a crash",
} as const satisfies Record<ConsistencyMutant, string>;

export type ConsistencyMutant = keyof typeof mutants;

/** The way of a mutant, or the service's own. */
export function wayOf(mutant: ConsistencyMutant | undefined): Way {
  return mutant === undefined ? rows : mutants[mutant];
}
