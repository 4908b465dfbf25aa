import { setTimeout } from "node:timers/promises";
import type { CompiledQuery } from "kysely";
import type { Caller, DatabaseBreaker } from "./breaker.ts";
import { type Connection, type ConnectionPool, withConnection } from "./connection.ts";
import { isConnectionLost, isRolledBack, toStoreError } from "./errors.ts";
import { compile, type Sendable, type StatementKind, statementKind } from "./statement.ts";
import { LockWaits, type Run, Transaction, type TransactionOptions } from "./transaction.ts";

export type { Run } from "./transaction.ts";

/** Traces the statements of a call. */
export interface StatementTracer {
  /** Runs a statement. */
  statement<T>(kind: StatementKind, send: () => Promise<T>): Promise<T>;
}

interface ExecutorOptions {
  readonly breaker?: DatabaseBreaker | undefined;
  readonly tracer?: StatementTracer | undefined;
}

const maxAttempts = 4;
const firstPauseMs = 10;
/** The caller of an executor without a circuit breaker. */
const waitingCaller: Caller = { isWaiting: true };

/**
 * Runs statements. An abort of the signal rejects with the signal's reason and cancels the statement where the database
 * can; other failures reject as `toStoreError` says.
 *
 * What the server has rolled back, and what was cut off before it could take effect, is retried a few times while the
 * caller waits; a change whose outcome is unknown never is.
 */
export class SqlExecutor {
  readonly #pool: ConnectionPool;
  readonly #breaker: DatabaseBreaker | undefined;
  readonly #lockWaits = new LockWaits();

  constructor(pool: ConnectionPool, { breaker, tracer }: ExecutorOptions = {}) {
    this.#pool = tracer === undefined ? pool : new TracedPool(pool, tracer);
    this.#breaker = breaker;
  }

  /**
   * Runs one statement that changes nothing, outside of any transaction, and returns its rows. Throws when the
   * statement could change something.
   */
  async read<Row>(statement: Sendable<Row>, signal?: AbortSignal): Promise<Row[]> {
    const query = compile(statement);
    assertReadOnly(query);
    return this.#withBreakerAndRetry(
      () => withConnection(this.#pool, ({ connection }) => connection.query(query), signal),
      (failure) => isRolledBack(failure) || isConnectionLost(failure),
      signal,
    );
  }

  /**
   * Runs statements in one READ COMMITTED transaction, so that each sees what was committed before it began: see
   * `Transaction` for what it promises. `work` may run more than once.
   *
   * The first lock that the transaction takes must be one that every conflicting change takes too: then no later one is
   * acknowledged before this one has taken effect or never will.
   */
  transaction<T>(work: (run: Run) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const transaction = new Transaction({
      ...options,
      pool: this.#pool,
      lockWaits: this.#lockWaits,
      work,
    });
    return this.#withBreakerAndRetry(
      (caller) => transaction.attempt(caller),
      (failure) => transaction.planRetry(failure),
      options.signal,
    );
  }

  async #withBreakerAndRetry<T>(
    attempt: (caller: Caller) => Promise<T>,
    planRetry: (failure: unknown) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const attempts = (caller: Caller) =>
      retry(
        () => attempt(caller),
        (failure) => caller.isWaiting && planRetry(failure),
        signal,
      );
    try {
      return await (this.#breaker === undefined ? attempts(waitingCaller) : this.#breaker.execute(attempts));
    } catch (failure) {
      throw toStoreError(failure, signal);
    }
  }
}

/**
 * Makes up to four attempts, as long as `planRetry` returns true for the failure of the last. The pauses double and
 * vary, so that calls that collided do not collide again.
 */
export async function retry<T>(
  attempt: () => Promise<T>,
  planRetry: (failure: unknown) => boolean,
  signal?: AbortSignal,
): Promise<T> {
  for (let number = 1; ; number++) {
    try {
      return await attempt();
    } catch (failure) {
      if (number === maxAttempts || signal?.aborted || !planRetry(failure)) throw failure;
      const pauseMs = firstPauseMs * 2 ** number * Math.random();
      await setTimeout(pauseMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}

/** A pool whose statements are traced. */
class TracedPool implements ConnectionPool {
  readonly #pool: ConnectionPool;
  readonly #tracer: StatementTracer;

  constructor(pool: ConnectionPool, tracer: StatementTracer) {
    this.#pool = pool;
    this.#tracer = tracer;
  }

  get isSaturated(): boolean {
    return this.#pool.isSaturated;
  }

  async acquire(signal?: AbortSignal): Promise<Connection> {
    return new TracedConnection(await this.#pool.acquire(signal), this.#tracer);
  }

  release(connection: Connection): void {
    this.#pool.release((connection as TracedConnection).traced);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

class TracedConnection implements Connection {
  readonly traced: Connection;
  readonly #tracer: StatementTracer;

  constructor(traced: Connection, tracer: StatementTracer) {
    this.traced = traced;
    this.#tracer = tracer;
  }

  query<Row>(statement: CompiledQuery<Row>): Promise<Row[]> {
    return this.#tracer.statement(statementKind(statement.sql), () => this.traced.query(statement));
  }

  /** The spans of statements that are sent together last as long as all of them. */
  async execute(statements: string): Promise<void> {
    let sent: Promise<void> | undefined;
    const spans = statements.split("; ").map((statement) =>
      // Kinds are cached by text: without the name of a lock, which differs from call to call.
      this.#tracer.statement(statementKind(statement.replace(/\(.*/, "")), () => {
        sent ??= this.traced.execute(statements);
        return sent;
      }),
    );
    await Promise.all(spans);
  }

  cancel(): Promise<void> {
    return this.traced.cancel();
  }
}

const readOnly = new Set<string>();
const maxReadOnly = 1_000;
const changing =
  /\b(insert|update|delete|merge|truncate|create|alter|drop|grant|revoke|share|call|copy|do|set|begin|commit|nextval)\b/i;

/** Throws for a statement that contains a keyword of a change or of a lock. */
function assertReadOnly({ sql: text }: CompiledQuery): void {
  if (readOnly.has(text)) return;
  if (changing.test(text)) throw new Error("a statement that changes something must run in a transaction");
  if (readOnly.size < maxReadOnly) readOnly.add(text);
}
