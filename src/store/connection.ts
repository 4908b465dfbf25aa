import type { CompiledQuery } from "kysely";

/** A connection to a database, for one statement at a time. */
export interface Connection {
  /** Runs one statement and returns its rows. */
  query<Row>(statement: CompiledQuery<Row>): Promise<Row[]>;
  /** Runs statements without values, separated by semicolons. After one that fails none is run. */
  execute(statements: string): Promise<void>;
  /**
   * Cancels what runs, where that is possible. Once it has resolved, no cancellation can hit a later statement of the
   * connection.
   */
  cancel(): Promise<void>;
}

/** How many connections a pool opens, and how many callers may wait for how long. */
export interface PoolLimits {
  readonly maxConnections: number;
  readonly acquireTimeoutMs: number;
  readonly maxWaiting: number;
}

/** The use of a pool. */
export interface PoolStats {
  readonly name: string;
  /** The most connections. */
  readonly max: number;
  readonly open: number;
  readonly idle: number;
  /** Statements and transactions that wait for a connection. */
  readonly waiting: number;
}

/** Connections, with a bounded queue before them. */
export interface ConnectionPool {
  /** Throws `UNAVAILABLE` when no connection comes free in time, and the signal's reason when it aborts. */
  acquire(signal?: AbortSignal): Promise<Connection>;
  release(connection: Connection): void;
  /** Whether an acquire would fail at once. */
  readonly isSaturated: boolean;
  /** Waits until every connection is released, and closes them all. */
  close(): Promise<void>;
}

/** What work on a connection is given. */
export interface ConnectionUse {
  readonly connection: Connection;
  /** From now on an abort cancels nothing. Resolves when a cancellation under way has ended. */
  readonly detachSignal: () => Promise<void> | undefined;
}

/**
 * Runs `work` on a connection of a pool. Rejects with the signal's reason as soon as it aborts: what runs on the
 * connection is cancelled then, and the connection is released when `work` has ended. `onRelease` is called after
 * that, or when there was no connection.
 */
export function withConnection<T>(
  pool: ConnectionPool,
  work: (use: ConnectionUse) => Promise<T>,
  signal: AbortSignal | undefined,
  onRelease: () => void = () => {},
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let connection: Connection | undefined;
  let cancellation: Promise<void> | undefined;
  const onAbort = () => {
    reject(signal?.reason);
    cancellation = connection?.cancel();
  };
  const detachSignal = () => {
    signal?.removeEventListener("abort", onAbort);
    return cancellation;
  };
  const use = async () => {
    try {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", onAbort);
      connection = await pool.acquire(signal);
      try {
        signal?.throwIfAborted();
        return await work({ connection, detachSignal });
      } finally {
        await detachSignal();
        pool.release(connection);
      }
    } finally {
      void detachSignal();
      onRelease();
    }
  };
  use().then(resolve, reject);
  return promise;
}
