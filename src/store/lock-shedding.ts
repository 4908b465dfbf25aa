import { setTimeout } from "node:timers/promises";

/** A connection as the shedding sees it. */
export interface Sheddable {
  /** The server's process at the other end. */
  readonly processId: number;
  /** Since when a statement has been running, on the clock of `performance.now()`; undefined when none is. */
  readonly busySince: number | undefined;
  /** Cancels the statement that runs, which fails as one that was refused a lock. */
  shed(): void;
}

interface LockSheddingOptions {
  readonly connections: () => Iterable<Sheddable>;
  /** Whether somebody waits for a connection. */
  readonly isWanted: () => boolean;
  /** When a connection was given back last, on the clock of `performance.now()`. */
  readonly lastRelease: () => number;
  /** Returns those of some server processes that wait for a lock. */
  readonly findLockWaiters: (processIds: readonly number[]) => Promise<readonly number[]>;
  /** How many may wait for a lock while somebody waits for a connection: those who have waited longest. */
  readonly keep: number;
}

/**
 * Between two looks; and for how long a statement runs at least before it counts: while connections are given back, so that
 * a burst of changes of one thing can pass, and after that has not happened for `stillMs`. In milliseconds.
 */
const times = { pauseMs: 25, movingMs: 1_000, stillMs: 300 };

/**
 * Keeps statements that wait for locks from using up a pool: while somebody waits for a connection, all but a few of
 * them are cancelled. Whether one waits for a lock is what the server says: a slow statement is left alone.
 */
export class LockShedding {
  readonly #options: LockSheddingOptions;
  #isRunning = false;

  constructor(options: LockSheddingOptions) {
    this.#options = options;
  }

  /** To be called when somebody waits for a connection; ends by itself when nobody does any more. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    const { isWanted } = this.#options;
    while (isWanted()) {
      // A server that does not answer is the circuit breaker's to find out.
      await this.#shed().catch(() => {});
      await setTimeout(times.pauseMs, undefined, { ref: false });
    }
    this.#isRunning = false;
  }

  async #shed(): Promise<void> {
    const { connections, findLockWaiters, isWanted, lastRelease, keep } = this.#options;
    const now = performance.now();
    const before = now - (now - lastRelease() < times.stillMs ? times.movingMs : times.stillMs);
    const busy = [...connections()]
      .map((connection) => ({ connection, since: connection.busySince ?? Number.POSITIVE_INFINITY }))
      .filter(({ since }) => since < before)
      .sort((a, b) => a.since - b.since);
    if (busy.length <= keep) return;
    const waiting = new Set(await findLockWaiters(busy.map(({ connection }) => connection.processId)));
    if (!isWanted()) return;
    const waiters = busy.filter(({ connection, since }) => {
      // What ran then may have ended meanwhile.
      return waiting.has(connection.processId) && connection.busySince === since;
    });
    for (const { connection } of waiters.slice(keep)) connection.shed();
  }
}
