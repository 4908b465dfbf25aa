import type { Backend } from "../../../src/store/backend.ts";
import { type Database, type DatabaseOptions, databaseOn } from "../../../src/store/database.ts";
import { openEmbedded } from "../../../src/store/embedded.ts";
import type { SqlExecutor } from "../../../src/store/executor.ts";
import { PooledConnection } from "../../../src/store/pooled-connection.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";

/**
 * The store with one protection taken out. Each run has to fail on the mutant that it is meant for, or it proves
 * nothing.
 */
export const mutants = {
  /** Answers a transaction before it is committed. */
  early: (options) => opened(options, (executor) => ({ ...executor, transaction: early(executor) })),

  /** Leaves the statements of callers who have gone to themselves. */
  uncancelled: (options) =>
    opened(options, (executor) => ({
      read: (statement, signal) => abandoned(executor.read(statement), signal),
      transaction: (work, signal) => abandoned(executor.transaction(work), signal),
    })),

  /** Waits for as long as the database takes. */
  patient: async (options) => {
    const url = new URL(options.url ?? "");
    for (const name of ["lock_timeout", "statement_timeout", "query_timeout"])
      url.searchParams.set(name, "3600000");
    const database = await opened({ ...options, url: url.href }, (executor) => executor);
    return { ...database, watch: () => {} };
  },

  /** Keeps the connections to a server that was replaced. */
  stale: (options) => {
    PooledConnection.prototype.close = () => {};
    return opened(options, (executor) => executor);
  },

  /** Keeps 1 KB of every call. */
  leaky: (options) => {
    const kept: unknown[] = [];
    const leak = () => kept.push(new Array(128).fill(0));
    return opened(options, (executor) => ({
      read: (statement, signal) => {
        leak();
        return executor.read(statement, signal);
      },
      transaction: (work, signal) => {
        leak();
        return executor.transaction(work, signal);
      },
    }));
  },
} satisfies Record<string, (options: DatabaseOptions) => Promise<Database>>;

export type Mutant = keyof typeof mutants;

type Statements = Pick<SqlExecutor, "read" | "transaction">;

/** The store whose statements pass what `alter` makes of them. */
async function opened(
  { url, dataDir = "", log = () => {} }: DatabaseOptions,
  alter: (executor: Statements) => Statements,
): Promise<Database> {
  const backend = url === undefined ? await openEmbedded(dataDir, log) : await openPostgresql(url, log);
  const altered = (executor: SqlExecutor) =>
    alter({
      read: (statement, signal) => executor.read(statement, signal),
      transaction: (work, signal) => executor.transaction(work, signal),
    }) as SqlExecutor;
  const { executor, checks } = backend;
  return databaseOn({ ...backend, executor: altered(executor), checks: altered(checks) } satisfies Backend);
}

function early(executor: Statements): SqlExecutor["transaction"] {
  return (work, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof work>>>();
    const answering = async (run: Parameters<typeof work>[0]) => {
      const result = await work(run);
      resolve(result);
      return result;
    };
    executor.transaction(answering, signal).catch(reject);
    return promise;
  };
}

function abandoned<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal?.aborted) reject(signal.reason);
  signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  work.then(resolve, reject);
  return promise;
}
