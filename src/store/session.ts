import {
  type CompiledQuery,
  type Kysely,
  type QueryExecutor,
  type QueryResult,
  type RawBuilder,
  sql,
} from "kysely";
import { isConnectionLost, isRolledBack, toStoreError } from "./errors.ts";
import { type LentConnection, lend } from "./lend.ts";
import { retrying } from "./retry.ts";
import { statement } from "./statement.ts";
import { type StatementKind, statementKind } from "./statement-kind.ts";
import type { Watch } from "./watch.ts";

/** Follows the statements of a call. */
export interface StatementTracer {
  /** Runs a statement. */
  statement<T>(kind: StatementKind, send: () => Promise<T>): Promise<T>;
}

interface SessionHooks {
  /** Tells when the database is away. */
  readonly watch?: Watch | undefined;
  readonly tracer?: StatementTracer | undefined;
}

/** What can be sent: a statement that is put together now, or one that was. */
type Sendable<Row> = RawBuilder<Row> | CompiledQuery<Row>;

/** Runs statements, each when the one before has ended, and returns the rows of the last. */
export type Run = <Row>(...statements: [...Sendable<unknown>[], Sendable<Row>]) => Promise<Row[]>;

const begin = statement(() => sql`begin isolation level read committed`)();
const commit = statement(() => sql`commit`)();
const rollback = statement(() => sql`rollback`)();

/**
 * Runs statements on either backend. An abort of the signal rejects with the signal's reason and cancels the
 * statement where the server can; other failures reject as `toStoreError` says.
 *
 * What the server rolled back by itself, and what was cut off before it could take effect, is tried again a few
 * times; a change whose outcome is unknown never is.
 */
export class Session {
  readonly #executor: QueryExecutor;
  readonly #watch: Watch | undefined;
  readonly #tracer: StatementTracer | undefined;

  constructor(db: Kysely<unknown>, { watch, tracer }: SessionHooks = {}) {
    this.#executor = db.getExecutor();
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

  #execute<Row>(statement: Sendable<Row>, signal: AbortSignal | undefined): Promise<Row[]> {
    return lend(this.#executor, ({ connection }) => this.#send([statement], connection), signal);
  }

  #transact<T>(
    work: (run: Run) => Promise<T>,
    onCommit: () => void,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    // Not `em.transactional`: its transaction keeps the pool's client for ever when begin, commit or rollback fails.
    return lend(
      this.#executor,
      async ({ connection, fail, hold }) => {
        let begun = false;
        const run: Run = async (...statements) => {
          signal?.throwIfAborted();
          const first = begun ? [] : [begin];
          begun = true;
          return this.#send([...first, ...statements], connection);
        };
        let result: T;
        try {
          result = await work(run);
          signal?.throwIfAborted();
        } catch (failure) {
          fail(failure);
          await hold();
          if (begun) await this.#send([rollback], connection);
          throw failure;
        }
        void hold();
        onCommit();
        await this.#send([commit], connection);
        return result;
      },
      signal,
    );
  }

  /** Sends statements, in one exchange where the connection can do so, and returns the rows of the last. */
  async #send<Row>(statements: readonly Sendable<unknown>[], connection: LentConnection): Promise<Row[]> {
    const queries = statements.map((statement) => this.#compiled(statement));
    const all = connection.executeAll?.bind(connection);
    if (queries.length > 1 && all !== undefined) return await this.#traced(queries, () => all<Row>(queries));
    let rows: Row[] = [];
    for (const query of queries)
      rows = await this.#traced([query], () => connection.executeQuery<Row>(query));
    return rows;
  }

  /** The spans of an exchange last as long as it does. */
  async #traced<Row>(
    queries: readonly CompiledQuery[],
    send: () => Promise<QueryResult<Row>>,
  ): Promise<Row[]> {
    const tracer = this.#tracer;
    if (tracer === undefined) return (await send()).rows;
    let sent: Promise<QueryResult<Row>> | undefined;
    const answers = queries.map((query) => {
      return tracer.statement(statementKind(query.sql), () => {
        sent ??= send();
        return sent;
      });
    });
    return (await Promise.all(answers)).at(-1)?.rows ?? [];
  }

  #compiled<Row>(statement: Sendable<Row>): CompiledQuery<Row> {
    return "sql" in statement ? statement : statement.compile({ getExecutor: () => this.#executor });
  }
}
