import { setImmediate as nextTurn } from "node:timers/promises";

/** How many of those who wait are woken in one turn of the event loop: each may have work for tens of microseconds. */
const wokenPerTurn = 32;

/** Wakes those who wait for something to happen. */
export class WakeUps {
  #waiting = new Set<() => void>();

  /** Waits until woken, for `ms` milliseconds at most. Rejects with the signal's reason when it aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = this.#waiting;
    const end = (settle: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      waiting.delete(wake);
      settle();
    };
    const wake = () => end(resolve);
    const onAbort = () => end(() => reject(signal.reason));
    const timer = setTimeout(wake, Math.max(0, ms));
    waiting.add(wake);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
    return promise;
  }

  /**
   * Returns what wakes all who wait by now, over several turns of the event loop when they are many. That resolves when the
   * last of them had its turn.
   */
  take(): () => Promise<void> {
    const taken = this.#waiting;
    this.#waiting = new Set();
    return async () => {
      let count = 0;
      for (const wake of taken) {
        wake();
        if (++count % wokenPerTurn === 0) await nextTurn();
      }
    };
  }
}
