import { sql } from "kysely";
import type pg from "pg";
import { PrivacyError } from "../domain/errors.ts";

/** A server that must not be used, with the reason for the operator. */
export class UnusableServerError extends Error {
  override readonly name = "UnusableServerError";
}

/**
 * Whether the server is a primary that takes changes. Every decision has this condition in its own statement: only a
 * primary has every acknowledged change.
 */
export const isWritable = sql<boolean>`
  (select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off')`;

/** Throws `UNAVAILABLE` when what a server answered to `isWritable` is not true. */
export function assertWritable(answer: boolean | undefined): void {
  if (answer === true) return;
  const cause = new UnusableServerError("the server is a standby or read-only");
  throw new PrivacyError("UNAVAILABLE", { cause });
}

/** Reads the state of the server over a new connection. */
const inspection = `
  select pg_is_in_recovery() as "isStandby",
    current_setting('transaction_read_only') = 'on' as "isReadOnly",
    extract(epoch from pg_postmaster_start_time())::text as server,
    current_setting('server_version_num')::int as version,
    current_setting('server_encoding') as encoding,
    pg_backend_pid() as pid`;

const oldestVersion = 150_000;

interface Answer {
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  readonly server: string;
  readonly version: number;
  readonly encoding: string;
  readonly pid: number;
}

/** The server at the other end of a connection. */
export interface ServerState {
  /** Differs between servers, and between the starts of one server. */
  readonly server: string;
  /** Whether a pooler is in between: the process id of its greeting is not that of the process that answers. */
  readonly isPooled: boolean;
}

/** Reads the state of the server of a new connection. Throws an `UnusableServerError`. */
export async function inspectServer(client: pg.ClientBase): Promise<ServerState> {
  const { rows } = await client.query<Answer>(inspection);
  const [answer] = rows as [Answer];
  const problem = problemOf(answer);
  if (problem !== undefined) throw new UnusableServerError(problem);
  const { processID } = client as { processID?: number };
  return { server: answer.server, isPooled: processID !== answer.pid };
}

/** Why a server must not be used. */
export function problemOf({
  isStandby,
  isReadOnly,
  version,
  encoding,
}: Omit<Answer, "server" | "pid">): string | undefined {
  if (version < oldestVersion)
    return `PostgreSQL 15 or newer is needed: the server is of version ${Math.floor(version / 10_000)}`;
  if (encoding !== "UTF8") return `the database must have the encoding UTF8: it has ${encoding}`;
  if (isStandby) return "the server is a standby: only the primary may decide";
  if (isReadOnly) return "the server is read-only: only a primary that takes changes may decide";
  return undefined;
}
