import { sql } from "kysely";
import type pg from "pg";

/** A server that must not be used, with the reason for the operator. */
export class UnusableServerError extends Error {
  override readonly name = "UnusableServerError";
}

/**
 * Whether the server is a primary that takes changes. Decisions ask it in their own statement: only what a primary
 * answers has seen every acknowledged change.
 */
export const isWritable = sql<boolean>`
  (select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off')`;

/** What a connection is asked when it is new. */
const question = `
  select pg_is_in_recovery() as "isStandby",
    current_setting('transaction_read_only')::bool as "isReadOnly",
    extract(epoch from pg_postmaster_start_time())::text as server`;

/** The server at the other end of a connection. */
export interface ServerState {
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  /** Tells servers apart, and the starts of one server. */
  readonly server: string;
}

/** Asks a new connection for its server. Throws an `UnusableServerError`. */
export async function inspectServer(client: pg.ClientBase): Promise<ServerState> {
  const { rows } = await client.query<ServerState>(question);
  const [state] = rows as [ServerState];
  const problem = problemOf(state);
  if (problem !== undefined) throw new UnusableServerError(problem);
  return state;
}

function problemOf({ isStandby, isReadOnly }: ServerState): string | undefined {
  if (isStandby) return "the server is a standby: only the primary may decide";
  if (isReadOnly) return "the server is read-only: only a primary that takes changes may decide";
  return undefined;
}
