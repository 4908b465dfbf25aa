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
  return {
    ms: () => (delays.count === 0 ? 0 : Math.max(0, delays.mean / 1e6 - everyMs)),
    restart: () => delays.reset(),
  };
}
