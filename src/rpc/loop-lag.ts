import { monitorEventLoopDelay } from "node:perf_hooks";

/** Tells how late the event loop comes to what there is to do. */
export interface LoopLag {
  /** The mean since `restart`, in milliseconds. */
  ms(): number;
  restart(): void;
}

/** How often it is looked at, in milliseconds. */
const everyMs = 10;

/** Looks at the event loop from now on; keeps no process alive. */
export function watchLoopLag(): LoopLag {
  const delays = monitorEventLoopDelay({ resolution: everyMs });
  delays.enable();
  let restartedAt = performance.now();
  return {
    ms() {
      // Within one long turn nothing is looked at.
      const delayMs = delays.count === 0 ? performance.now() - restartedAt : delays.mean / 1e6;
      return Math.max(0, delayMs - everyMs);
    },
    restart() {
      restartedAt = performance.now();
      delays.reset();
    },
  };
}
