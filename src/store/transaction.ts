import type { CompiledQuery } from "kysely";
import type { ChangeCause } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { Caller } from "./breaker.ts";
import { type ConnectionPool, type ConnectionUse, withConnection } from "./connection.ts";
import { isConnectionLost, isLockRefused, isRolledBack } from "./errors.ts";
import { KeyedSemaphore, Semaphore } from "./semaphore.ts";
import { compile, type Sendable } from "./statement.ts";

/** Runs statements, each when the one before has ended, and returns the rows of the last. */
export type Run = <Row>(...statements: [...Sendable<unknown>[], Sendable<Row>]) => Promise<Row[]>;

/** The locks that a transaction takes. */
export interface Locks {
  /** A name for each of them. At most two transactions with the same name have a connection at once: see `LockWaits`. */
  readonly names: readonly string[];
  /** The name of an advisory lock that is taken before the first statement, until the transaction ends. */
  readonly advisory?: string | undefined;
}

const noLocks: Locks = { names: [] };

/** How long a first attempt waits for a lock, in milliseconds: less while transactions are queued for a long wait. */
const shortLockTimeoutMs = 100;
const shorterLockTimeoutMs = 10;
/** For how long a transaction that was refused a lock is retried, in milliseconds. */
const lockRetryMs = 500;
/** How long a transaction is queued, without a connection, for others with the same lock or before a long wait. */
const queueLimits = { acquireTimeoutMs: 3_000, maxWaiting: 1_000 };

/**
 * Keeps waits for locks from using up the connection pool. Two transactions at most that name the same lock have a
 * connection at once: one that holds it and one that gets it next. Four transactions at most wait for a lock for long.
 */
export class LockWaits {
  readonly #byName = new KeyedSemaphore({
    ...queueLimits,
    permits: 2,
    failure: "too many changes wait for the same lock",
  });
  readonly #long = new Semaphore({ ...queueLimits, permits: 4, failure: "too many changes wait for locks" });

  /** How long a transaction that does not wait for long may wait for a lock, in milliseconds. */
  get shortTimeoutMs(): number {
    return this.#long.waiting > 0 ? shorterLockTimeoutMs : shortLockTimeoutMs;
  }

  /**
   * Waits until a transaction may have a connection. Returns what is to be called when it has released that. Throws
   * `UNAVAILABLE` when that takes too long, and the signal's reason when it aborts.
   */
  async admit({ names }: Locks, isLong: boolean, signal: AbortSignal | undefined): Promise<() => void> {
    const release = await this.#byName.acquire(names, signal);
    if (!isLong) return release;
    try {
      await this.#long.acquire(signal);
    } catch (failure) {
      release();
      throw failure;
    }
    return () => {
      this.#long.release();
      release();
    };
  }
}

export interface TransactionOptions {
  readonly signal?: AbortSignal | undefined;
  /** None by default. */
  readonly locks?: Locks | undefined;
  /** Who or what makes the changes, for the change log. */
  readonly cause?: ChangeCause | undefined;
}

/** The parts of a transaction that stay the same from attempt to attempt. */
interface TransactionParts<T> extends TransactionOptions {
  readonly pool: ConnectionPool;
  readonly lockWaits: LockWaits;
  readonly work: (run: Run) => Promise<T>;
}

/**
 * One READ COMMITTED transaction with its attempts.
 *
 * The commit is sent after the answer to the last statement, and only while the caller waits; once sent, it is never
 * cancelled. A transaction whose caller got an error with an unknown outcome therefore either never commits or held
 * all of its locks by then.
 *
 * The first attempt waits for a lock for a moment only. When it is refused, it is rolled back and queued without a
 * connection, and the next one waits for as long as the connection's `lock_timeout`.
 */
export class Transaction<T> {
  readonly #parts: TransactionParts<T>;
  readonly #begunAt = performance.now();
  #waitsLong = false;
  #isCommitSent = false;

  constructor(parts: TransactionParts<T>) {
    this.#parts = parts;
  }

  /** Runs the work in a transaction and commits it. */
  async attempt(caller: Caller): Promise<T> {
    const { pool, lockWaits, locks = noLocks, signal } = this.#parts;
    this.#isCommitSent = false;
    const lockTimeoutMs = this.#waitsLong ? undefined : lockWaits.shortTimeoutMs;
    const onRelease = await lockWaits.admit(locks, this.#waitsLong, signal);
    return withConnection(pool, (use) => this.#runOn(use, caller, lockTimeoutMs), signal, onRelease);
  }

  /** Decides whether a failed attempt may be followed by another one, and how that waits for locks. */
  planRetry(failure: unknown): boolean {
    const isFirstRefusal = isLockRefused(failure) && !this.#waitsLong;
    this.#waitsLong = isLockRefused(failure);
    return (
      isRolledBack(failure) ||
      (!this.#isCommitSent && isConnectionLost(failure)) ||
      isFirstRefusal ||
      // A lock is refused at once while a user is being erased. Most erasures are short: retry.
      (this.#waitsLong && performance.now() - this.#begunAt < lockRetryMs)
    );
  }

  async #runOn(
    { connection, detachSignal }: ConnectionUse,
    caller: Caller,
    lockTimeoutMs: number | undefined,
  ): Promise<T> {
    const { work, signal } = this.#parts;
    const assertAwaited = () => {
      signal?.throwIfAborted();
      if (!caller.isWaiting)
        throw new PrivacyError("UNAVAILABLE", { cause: new Error("the caller no longer waits") });
    };
    const failures: unknown[] = [];
    const run = async <Row>(...statements: Sendable<unknown>[]): Promise<Row[]> => {
      let rows: Row[] = [];
      for (const statement of statements) {
        assertAwaited();
        try {
          rows = await connection.query<Row>(compile(statement) as CompiledQuery<Row>);
        } catch (failure) {
          failures.push(failure);
          throw failure;
        }
      }
      return rows;
    };
    assertAwaited();
    let result: T;
    try {
      await connection.execute(opening(this.#parts, lockTimeoutMs));
      result = await work(run);
      // Even if `work` has ignored it: the server would answer the commit by a rollback.
      if (failures.length > 0) throw failures[0];
      assertAwaited();
    } catch (failure) {
      await detachSignal();
      // The pool does not use a connection again that is left in a transaction.
      await connection.execute("rollback").catch(() => {});
      throw failure;
    }
    // No await may come between this check and the commit.
    void detachSignal();
    this.#isCommitSent = true;
    await connection.execute("commit");
    return result;
  }
}

/**
 * What a transaction begins with, as one message: the server runs nothing after a statement that fails, and the first
 * statement of the work is sent after the answer.
 */
function opening({ cause, locks = noLocks }: TransactionOptions, lockTimeoutMs: number | undefined): string {
  const statements = ["begin isolation level read committed"];
  if (cause !== undefined) statements.push(`set local privacy.cause = '${cause}'`);
  if (lockTimeoutMs !== undefined) statements.push(`set local lock_timeout = ${lockTimeoutMs}`);
  if (locks.advisory !== undefined) statements.push(advisoryLock(locks.advisory));
  return statements.join("; ");
}

/** Takes the advisory lock of a name. A message of several statements has no parameters: the name is part of its text. */
function advisoryLock(name: string): string {
  if (!/^[\w:-]+$/.test(name)) throw new Error("the name of an advisory lock must not need to be escaped");
  return `select pg_advisory_xact_lock(hashtextextended('${name}', 0))`;
}
