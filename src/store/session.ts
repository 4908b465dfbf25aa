import { type AbortableQueryOptions, type CompiledQuery, type Kysely, type RawBuilder, sql } from "kysely";
import { isConnectionLost, isRolledBack, toStoreError } from "./errors.ts";
import { retrying } from "./retry.ts";
import type { Watch } from "./watch.ts";

/** Follows the statements of a call. */
export interface StatementTracer {
  /** Runs a statement of an operation, `select` say. */
  statement<T>(operation: string, send: () => Promise<T>): Promise<T>;
}

interface SessionHooks {
  /** Tells when the database is away. */
  readonly watch?: Watch | undefined;
  readonly tracer?: StatementTracer | undefined;
}

/** What can be sent: a statement that is put together now, or one that was. */
type Sendable<Row> = RawBuilder<Row> | CompiledQuery<Row>;

/** Runs one statement and returns its rows. */
export type Run = <Row>(statement: Sendable<Row>) => Promise<Row[]>;

/**
 * Runs statements on either backend. An abort of the signal rejects with the signal's reason and cancels the
 * statement where the server can; other failures reject as `toStoreError` says.
 *
 * What the server rolled back by itself, and what was cut off before it could take effect, is tried again a few
 * times; a change whose outcome is unknown never is.
 */
export class Session {
  readonly #db: Kysely<unknown>;
  readonly #onAbort: AbortableQueryOptions["inflightQueryAbortStrategy"];
  readonly #watch: Watch | undefined;

  readonly #tracer: StatementTracer | undefined;

  /** `onAbort`: what becomes of a running statement; a backend without a second connection can cancel none. */
  constructor(
    db: Kysely<unknown>,
    onAbort: "cancel query" | "ignore query",
    { watch, tracer }: SessionHooks = {},
  ) {
    this.#db = db;
    this.#onAbort = onAbort;
    this.#watch = watch;
    this.#tracer = tracer;
  }

  /** Runs one statement that changes something, a transaction of its own, and returns its rows. */
  async run<Row>(statement: Sendable<Row>, signal?: AbortSignal): Promise<Row[]> {
    return this.#guarded(() => this.#execute(statement, signal), isRolledBack, signal);
  }

  /** Runs one statement that changes nothing, and returns its rows. */
  async read<Row>(statement: Sendable<Row>, signal?: AbortSignal): Promise<Row[]> {
    const isSafe = (failure: unknown) => isRolledBack(failure) || isConnectionLost(failure);
    return this.#guarded(() => this.#execute(statement, signal), isSafe, signal);
  }

  /**
   * Runs statements in one READ COMMITTED transaction, so that each sees what was committed before it began. It
   * rejects as soon as `work` does, while the rollback is under way; a commit, once sent, is never aborted. `work`
   * may run more than once.
   */
  async transaction<T>(work: (run: Run) => Promise<T>, signal?: AbortSignal): Promise<T> {
    let committing: boolean;
    const isSafe = (failure: unknown) => isRolledBack(failure) || (!committing && isConnectionLost(failure));
    const onCommit = () => {
      committing = true;
    };
    const attempt = () => {
      committing = false;
      return this.#transact(work, onCommit, signal);
    };
    return this.#guarded(attempt, isSafe, signal);
  }

  async #guarded<T>(
    step: () => Promise<T>,
    isSafe: (failure: unknown) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const work = () => retrying(step, isSafe, signal);
    try {
      return await (this.#watch === undefined ? work() : this.#watch.guard(work));
    } catch (failure) {
      throw toStoreError(failure, signal);
    }
  }

  async #execute<Row>(statement: Sendable<Row>, signal: AbortSignal | undefined): Promise<Row[]> {
    return this.#send(statement, this.#db, this.#abortable(signal));
  }

  #transact<T>(
    work: (run: Run) => Promise<T>,
    onCommit: () => void,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const options = this.#abortable(signal);
    // Not `em.transactional`: its transaction keeps the pool's client for ever when begin, commit or rollback fails.
    this.#db
      .connection()
      .execute(async (connection) => {
        const run: Run = (statement) => this.#send(statement, connection, options);
        let result: T;
        try {
          await run(sql`begin isolation level read committed`);
          result = await work(run);
        } catch (failure) {
          reject(failure);
          await this.#send(sql`rollback`, connection);
          return;
        }
        onCommit();
        await this.#send(sql`commit`, connection);
        resolve(result);
      }, options)
      .catch(reject);
    return promise;
  }

  async #send<Row>(
    statement: Sendable<Row>,
    db: Kysely<unknown>,
    options?: AbortableQueryOptions,
  ): Promise<Row[]> {
    const compiled = "sql" in statement ? statement : statement.compile(db);
    const send = () => db.executeQuery(compiled, options);
    const tracer = this.#tracer;
    return (await (tracer === undefined ? send() : tracer.statement(operationOf(compiled), send))).rows;
  }

  #abortable(signal: AbortSignal | undefined): AbortableQueryOptions {
    return { signal, inflightQueryAbortStrategy: this.#onAbort };
  }
}

/** The first word of a statement. */
function operationOf({ sql: text }: CompiledQuery): string {
  return /\w+/.exec(text)?.[0].toLowerCase() ?? "statement";
}
