import { type AbortableQueryOptions, type Kysely, type RawBuilder, sql } from "kysely";
import { toStoreError } from "./errors.ts";

/** Runs one statement and returns its rows. */
export type Run = <Row>(statement: RawBuilder<Row>) => Promise<Row[]>;

/**
 * Runs statements on either backend. An abort of the signal rejects with the signal's reason and cancels the
 * statement where the server can; other failures reject as `toStoreError` says. Nothing is ever retried.
 */
export class Session {
  readonly #db: Kysely<unknown>;
  readonly #onAbort: AbortableQueryOptions["inflightQueryAbortStrategy"];

  /** `onAbort`: what becomes of a running statement; a backend without a second connection can cancel none. */
  constructor(db: Kysely<unknown>, onAbort: "cancel query" | "ignore query") {
    this.#db = db;
    this.#onAbort = onAbort;
  }

  /** Runs one statement, a transaction of its own, and returns its rows. */
  async run<Row>(statement: RawBuilder<Row>, signal?: AbortSignal): Promise<Row[]> {
    try {
      return (await statement.execute(this.#db, this.#abortable(signal))).rows;
    } catch (failure) {
      throw toStoreError(failure, signal);
    }
  }

  /**
   * Runs statements in one READ COMMITTED transaction, so that each sees what was committed before it began. It
   * rejects as soon as `work` does, while the rollback is under way; a commit, once sent, is never aborted.
   */
  async transaction<T>(work: (run: Run) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const options = this.#abortable(signal);
    // Not `em.transactional`: its transaction keeps the pool's client for ever when begin, commit or rollback fails.
    this.#db
      .connection()
      .execute(async (connection) => {
        const run: Run = async (statement) => (await statement.execute(connection, options)).rows;
        let result: T;
        try {
          await run(sql`begin isolation level read committed`);
          result = await work(run);
        } catch (failure) {
          reject(failure);
          await sql`rollback`.execute(connection);
          return;
        }
        await sql`commit`.execute(connection);
        resolve(result);
      }, options)
      .catch(reject);
    try {
      return await promise;
    } catch (failure) {
      throw toStoreError(failure, signal);
    }
  }

  #abortable(signal: AbortSignal | undefined): AbortableQueryOptions {
    return { signal, inflightQueryAbortStrategy: this.#onAbort };
  }
}
