import type {
  AbortableOperationOptions,
  CompiledQuery,
  ConnectionProvider,
  DatabaseConnection,
  QueryResult,
} from "kysely";

/** A connection, which may be able to do more than Kysely knows of. */
export interface LentConnection extends DatabaseConnection {
  /** Runs statements in one exchange, each when the one before has ended, and returns the last one's rows. */
  executeAll?<Row>(queries: readonly CompiledQuery[]): Promise<QueryResult<Row>>;
  /** Cancels what runs, if anything does, and resolves when it has ended. */
  cancelRunning?(): Promise<void>;
}

/** Asks for a connection for as long as `wantedBy` is not aborted. */
export interface LoanOptions extends AbortableOperationOptions {
  readonly wantedBy?: AbortSignal | undefined;
}

/** A connection that is lent, and what its borrower may tell of it. */
export interface Loan {
  readonly connection: LentConnection;
  /** Rejects for the borrower now, while work goes on. */
  readonly fail: (failure: unknown) => void;
  /** From now on an abort changes nothing. Resolves when a cancellation under way has ended. */
  readonly hold: () => Promise<void> | undefined;
}

/**
 * Lends a connection to `work`, and takes it back when that has ended. Rejects with the signal's reason as soon as it
 * aborts; what runs on the connection is cancelled then, where it can be. `onReturn` is called when the connection has
 * been taken back.
 *
 * Kysely can do so too, for single statements. Its way takes more (28.5 microseconds for a small one, against
 * 23.4), and says on the console what becomes of statements for which nobody waits any more.
 */
export function lend<T>(
  connections: ConnectionProvider,
  work: (loan: Loan) => Promise<T>,
  signal: AbortSignal | undefined,
  onReturn: () => void = () => {},
): Promise<T> {
  if (signal?.aborted) {
    onReturn();
    return Promise.reject(signal.reason);
  }
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let connection: LentConnection | undefined;
  let cancelling: Promise<void> | undefined;
  const onAbort = () => {
    reject(signal?.reason);
    cancelling = connection?.cancelRunning?.();
  };
  const hold = () => {
    signal?.removeEventListener("abort", onAbort);
    return cancelling;
  };
  signal?.addEventListener("abort", onAbort);
  const options: LoanOptions = { wantedBy: signal };
  const use = async (lent: LentConnection) => {
    if (signal?.aborted) return;
    connection = lent;
    try {
      resolve(await work({ connection, fail: reject, hold }));
    } finally {
      await hold();
    }
  };
  connections
    .provideConnection(use, options)
    .catch((failure: unknown) => {
      void hold();
      reject(failure);
    })
    .finally(onReturn);
  return promise;
}
