import {
  type CompiledQuery,
  type Kysely,
  type QueryExecutor,
  type QueryResult,
  type RawBuilder,
  sql,
} from "kysely";
import { PrivacyError } from "../domain/errors.ts";
import type { Caller, DatabaseBreaker } from "./breaker.ts";
import { isConnectionLost, isLockRefused, isRolledBack, toStoreError } from "./errors.ts";
import { KeyedLimiter } from "./keyed-limiter.ts";
import { type LentConnection, lend } from "./lend.ts";
import { retrying } from "./retry.ts";
import { queryTemplate } from "./statement.ts";
import { type StatementKind, statementKind } from "./statement-kind.ts";
import { type Patience, WaitingLine } from "./waiting-line.ts";

/** Follows the statements of a call. */
export interface StatementTracer {
  /** Runs a statement. */
  statement<T>(kind: StatementKind, send: () => Promise<T>): Promise<T>;
}

interface ExecutorOptions {
  /** Tells when the database is away. */
  readonly watch?: DatabaseBreaker | undefined;
  readonly tracer?: StatementTracer | undefined;
}

/** What can be sent: a statement that is put together now, or one that was. */
type Sendable<Row> = RawBuilder<Row> | CompiledQuery<Row>;

/** Runs statements, each when the one before has ended, and returns the rows of the last. */
export type Run = <Row>(...statements: [...Sendable<unknown>[], Sendable<Row>]) => Promise<Row[]>;

const begin = queryTemplate(() => sql`begin isolation level read committed`)();
const commit = queryTemplate(() => sql`commit`)();
const rollback = queryTemplate(() => sql`rollback`)();

/** How long the first attempt waits for a lock; the shorter time while transactions are queued for a long wait. */
const shortLockTimeout = queryTemplate(() => sql`set local lock_timeout = 100`)();
const shorterLockTimeout = queryTemplate(() => sql`set local lock_timeout = 10`)();
/** How many transactions at once may wait for a lock as long as the session's `lock_timeout`. */
const maxLongLockWaits = 4;
/** How long a transaction is queued before such a wait. */
const longWaitTimeout: Patience = { burstMs: 3_000, standingMs: 3_000 };
/** For how long a transaction that was refused a lock is retried, in milliseconds. */
const lockRetryMs = 500;

interface Attempt {
  /** Sets how long to wait for locks; undefined for the session's `lock_timeout`. */
  readonly lockTimeout: CompiledQuery | undefined;
  /** Called when the commit is about to be sent. */
  readonly onCommit: () => void;
  /** Called when the connection has been given back. */
  readonly onReturn: () => void;
  readonly caller: Caller;
  readonly signal: AbortSignal | undefined;
}

const unwatched: Caller = { waits: true };

/**
 * Runs statements on either backend. An abort of the signal rejects with the signal's reason and cancels the
 * statement where the server can; other failures reject as `toStoreError` says.
 *
 * What the server rolled back by itself, and what was cut off before it could take effect, is tried again a few
 * times while the caller waits; a change whose outcome is unknown never is.
 */
export class SqlExecutor {
  readonly #executor: QueryExecutor;
  readonly #watch: DatabaseBreaker | undefined;
  readonly #tracer: StatementTracer | undefined;
  readonly #byLockKey = new KeyedLimiter();
  readonly #longLockWaits = new WaitingLine(maxLongLockWaits, longWaitTimeout);

  constructor(db: Kysely<unknown>, { watch, tracer }: ExecutorOptions = {}) {
    this.#executor = db.getExecutor();
    this.#watch = watch;
    this.#tracer = tracer;
  }

  /**
   * Runs one statement that changes nothing, outside of any transaction, and returns its rows. Throws when the
   * statement could change something.
   */
  async read<Row>(statement: Sendable<Row>, signal?: AbortSignal): Promise<Row[]> {
    const query = this.#compiled(statement);
    assertReadOnly(query);
    const isSafe = (failure: unknown) => isRolledBack(failure) || isConnectionLost(failure);
    const step = () => lend(this.#executor, ({ connection }) => this.#send<Row>([query], connection), signal);
    return this.#guarded(step, isSafe, signal);
  }

  /**
   * Runs statements in one READ COMMITTED transaction, so that each sees what was committed before it began. It
   * rejects as soon as `work` does, while the rollback is under way; a commit, once sent, is never aborted. `work`
   * may run more than once.
   *
   * The commit is sent after the answer to the last statement, and only while the caller waits. A transaction whose
   * caller got an error with an unknown outcome therefore either never commits or held all of its locks by then. `work`
   * must first take a lock that every conflicting change takes too: then no later one is acknowledged before this one has
   * taken effect or never will.
   *
   * `lockKeys` are the names of the locks that `work` takes: only two transactions with the same key have a connection at
   * once.
   *
   * A transaction that does not get a lock soon is rolled back and queued without a connection. From that queue only a few
   * at once wait longer for their lock, so that lock waits never use up the pool.
   */
  async transaction<T>(
    work: (run: Run) => Promise<T>,
    signal?: AbortSignal,
    lockKeys: readonly string[] = [],
  ): Promise<T> {
    let committing: boolean;
    let waitsLong = false;
    const begun = performance.now();
    // Also sets how the next attempt waits for locks.
    const planRetry = (failure: unknown) => {
      const isFirstRefusal = isLockRefused(failure) && !waitsLong;
      waitsLong = isLockRefused(failure);
      return (
        isRolledBack(failure) ||
        (!committing && isConnectionLost(failure)) ||
        isFirstRefusal ||
        // A lock is refused at once while a user is being erased. Most erasures are short: retry.
        (waitsLong && performance.now() - begun < lockRetryMs)
      );
    };
    const onCommit = () => {
      committing = true;
    };
    const attempt = async (caller: Caller) => {
      committing = false;
      const release = await this.#byLockKey.acquire(lockKeys, signal);
      if (!waitsLong) {
        const lockTimeout = this.#longLockWaits.length > 0 ? shorterLockTimeout : shortLockTimeout;
        return this.#transact(work, { lockTimeout, onCommit, onReturn: release, caller, signal });
      }
      if (!(await this.#longLockWaits.enter(signal))) {
        release();
        signal?.throwIfAborted();
        throw new PrivacyError("UNAVAILABLE", { cause: new Error("too many changes wait for locks") });
      }
      const onReturn = () => {
        this.#longLockWaits.leave();
        release();
      };
      return this.#transact(work, { lockTimeout: undefined, onCommit, onReturn, caller, signal });
    };
    return this.#guarded(attempt, planRetry, signal);
  }

  async #guarded<T>(
    step: (caller: Caller) => Promise<T>,
    isSafe: (failure: unknown) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const work = (caller: Caller) =>
      retrying(
        () => step(caller),
        (failure) => caller.waits && isSafe(failure),
        signal,
      );
    try {
      return await (this.#watch === undefined ? work(unwatched) : this.#watch.execute(work));
    } catch (failure) {
      throw toStoreError(failure, signal);
    }
  }

  #transact<T>(
    work: (run: Run) => Promise<T>,
    { lockTimeout, onCommit, onReturn, caller, signal }: Attempt,
  ): Promise<T> {
    const assertAwaited = () => {
      signal?.throwIfAborted();
      if (!caller.waits)
        throw new PrivacyError("UNAVAILABLE", { cause: new Error("the caller no longer waits") });
    };
    // Not `em.transactional`: its transaction keeps the pool's client for ever when begin, commit or rollback fails.
    return lend(
      this.#executor,
      async ({ connection, fail, hold }) => {
        let begun = false;
        // The embedded database has one connection, so that no other transaction can hold a lock.
        const opening =
          lockTimeout === undefined || connection.executeAll === undefined ? [begin] : [begin, lockTimeout];
        const run: Run = async (...statements) => {
          assertAwaited();
          const first = begun ? [] : opening;
          begun = true;
          return this.#send([...first, ...statements], connection);
        };
        let result: T;
        try {
          result = await work(run);
          assertAwaited();
        } catch (failure) {
          fail(failure);
          await hold();
          if (begun) await this.#send([rollback], connection);
          throw failure;
        }
        // No await may come between this check and the commit.
        void hold();
        onCommit();
        await this.#send([commit], connection);
        return result;
      },
      signal,
      onReturn,
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
