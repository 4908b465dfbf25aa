/** Tells how late the event loop comes to what there is to do. */
export interface LoopLag {
  /** The mean since `restart`, in milliseconds. */
  ms(): number;
  restart(): void;
}

/** How often it is looked at, in milliseconds. */
const everyMs = 10;

/**
 * Looks at the event loop from now on; keeps no process alive. Node's own histogram of delays leaves out, after a
 * reset, the very look that follows a long turn.
 */
export function watchLoopLag(): LoopLag {
  let lookedAt = performance.now();
  let looks = 0;
  let sumMs = 0;
  let restartedAt = lookedAt;
  setInterval(() => {
    const now = performance.now();
    sumMs += now - Math.max(lookedAt, restartedAt);
    looks += 1;
    lookedAt = now;
  }, everyMs).unref();
  return {
    ms() {
      // Within one long turn nothing is looked at.
      const delayMs = looks === 0 ? performance.now() - restartedAt : sumMs / looks;
      return Math.max(0, delayMs - everyMs);
    },
    restart() {
      restartedAt = performance.now();
      looks = 0;
      sumMs = 0;
    },
  };
}
