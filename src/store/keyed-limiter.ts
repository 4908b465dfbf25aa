import { PrivacyError } from "../domain/errors.ts";
import { type Patience, WaitingLine } from "./waiting-line.ts";

/** One holder that may have the lock, and one that gets it next. */
const maxHolders = 2;

/** As long as a statement may wait for a lock. */
const acquireTimeout: Patience = { burstMs: 3_000, standingMs: 3_000 };

/**
 * Bounds how many transactions that need the same lock have a connection at once. Further ones could only wait for the
 * lock, and would keep connections from transactions that need other locks.
 */
export class KeyedLimiter {
  readonly #lines = new Map<string, WaitingLine>();

  /**
   * Acquires a place for each of the lock keys, and returns the function that releases them all. Throws `UNAVAILABLE`
   * when that takes too long, and the signal's reason when it aborts; then no place is held.
   */
  async acquire(lockKeys: readonly string[], signal?: AbortSignal): Promise<() => void> {
    const acquired: string[] = [];
    const release = () => {
      for (const key of acquired) {
        const line = this.#lines.get(key);
        line?.leave();
        if (line?.isEmpty) this.#lines.delete(key);
      }
    };
    // In one order, to avoid deadlocks.
    for (const key of lockKeys.length > 1 ? lockKeys.toSorted() : lockKeys) {
      let line = this.#lines.get(key);
      if (line === undefined) {
        line = new WaitingLine(maxHolders, acquireTimeout);
        this.#lines.set(key, line);
      }
      if (await line.enter(signal)) {
        acquired.push(key);
        continue;
      }
      release();
      signal?.throwIfAborted();
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("too many changes wait for the same lock") });
    }
    return release;
  }
}
