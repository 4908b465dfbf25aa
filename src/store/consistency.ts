import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import { type ConsistencyToken, type DatabaseState, includes, type Snapshot } from "../domain/consistency.ts";
import { microsOf } from "./change-rows.ts";
import type { SqlExecutor } from "./executor.ts";
import { queryTemplate } from "./statement.ts";

/** A time in seconds since 1970, with six digits behind the point. */
const secondsOf = (time: RawBuilder<unknown>) => sql`extract(epoch from ${time})`;

/**
 * Names a run of the server by two times: when it was started, and when its statistics were reset, which a crash of one of its
 * processes causes. The sum differs when one of them does, also after the clock was set back. Ticks of earlier versions have
 * no second time: their runs are those of no server.
 */
const runOf = (startedAt: RawBuilder<unknown>, resetAt: RawBuilder<unknown>) =>
  sql`(${secondsOf(startedAt)} + coalesce(${secondsOf(resetAt)}, 0))`;

/** The run of the server that answers, for `parseRun`. */
export const currentRun = runOf(sql`pg_postmaster_start_time()`, sql`pg_stat_get_bgwriter_stat_reset_time()`);

/** The run of the server that stored a tick, for `parseRun`. */
export const runOfTick = runOf(sql`server_started_at`, sql`statistics_reset_at`);

/** The state that a statement rests on, for `parseState`. The same in every row: one of them should have it. */
export const currentState = sql<string>`concat(${currentRun}, ' ', pg_current_snapshot())`;

/**
 * What names the write of a transaction, for `parseToken`. `changed`: whether the transaction has rows in the change log.
 * Call it in a statement that has locked or changed a row: the transaction has an id by then.
 */
export const writeToken = (changed: RawBuilder<unknown>) => sql<string>`(
  case when ${changed} then concat(
    ${currentRun}, ' ', pg_current_xact_id(), ' ', ${secondsOf(sql`now()`)}
  ) else ${currentState} end)`;

/** Whether the transaction has rows in the change log by its statements before this one. */
export const hasLogged = sql<boolean>`
  ((select true from changes where xid = pg_current_xact_id() limit 1) is not null)`;

/** Reads what `currentState` answered. */
export function parseState(text: string): DatabaseState {
  const [server = "", snapshot = ""] = text.split(" ");
  return { kind: "state", server: parseRun(server), snapshot: parseSnapshot(snapshot) };
}

/** Reads a snapshot as PostgreSQL writes it. */
export function parseSnapshot(text: string): Snapshot {
  const [, next = "", running = ""] = text.split(":");
  return { next: BigInt(next), running: running === "" ? [] : running.split(",").map(BigInt) };
}

/** Reads what `writeToken` answered. */
export function parseToken(text: string): ConsistencyToken {
  const [server = "", xid = "", at] = text.split(" ");
  return at === undefined
    ? parseState(text)
    : { kind: "write", server: parseRun(server), xid: BigInt(xid), at: microsOfSeconds(at) };
}

/** Reads what `currentRun` and `runOfTick` answered. */
export function parseRun(seconds: string): bigint {
  return microsOfSeconds(seconds);
}

function microsOfSeconds(text: string): bigint {
  return BigInt(text.replace(".", ""));
}

/** Reads the token of a transaction from the only row of an answer. */
export function readToken(rows: readonly { readonly token: string }[]): ConsistencyToken {
  const [row] = rows;
  if (row === undefined) throw new Error("a write has no token");
  return parseToken(row.token);
}

/** The token of a transaction, as a statement of its own after the others. */
export const tokenOfTransaction = queryTemplate(
  () => sql<{ token: string }>`select ${writeToken(hasLogged)} as token`,
);

interface TokenView {
  /** Whether the change log has a row of the write that was asked for. */
  readonly is_logged: boolean;
  /** A state that a primary vouches for, and that the snapshot of this statement includes; null when there is none. */
  readonly state: string | null;
}

// A standby's own snapshot lists no running transaction: there only what a primary stored can be relied on.
const view = queryTemplate(
  (xid: string | null, at: string | null) => sql<TokenView>`
    select (select true from changes
        where xid = ${xid}::xid8 and ${microsOf(sql`at`)} = ${at} limit 1) is not null as is_logged,
      case when pg_is_in_recovery() then (
        select concat(${runOfTick}, ' ', snapshot) from ticks order by id desc limit 1
      ) else ${currentState} end as state`,
);

/** The statement that looks for what a token names. `isSatisfiedBy` reads the answer. */
export function tokenView(token: ConsistencyToken): CompiledQuery<TokenView> {
  return token.kind === "write" ? view(String(token.xid), String(token.at)) : view(null, null);
}

/**
 * Whether the snapshot of the statement that answered so has everything that the token names: on a primary and on a standby.
 * The row of a write says so wherever it is; when it was scrubbed, or is older than the change log, a state does.
 */
export function isSatisfiedBy({ is_logged, state }: TokenView, token: ConsistencyToken): boolean {
  return (token.kind === "write" && is_logged) || (state !== null && includes(parseState(state), token));
}

/** Looks for what consistency tokens name. */
export class ConsistencyReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Whether the database has everything that a token names. False also when that cannot be told. */
  async isSatisfied(token: ConsistencyToken, signal?: AbortSignal): Promise<boolean> {
    const [row] = await this.#executor.read(tokenView(token), signal);
    return row !== undefined && isSatisfiedBy(row, token);
  }
}
