import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** How a process is. */
export interface VitalSigns {
  /** After garbage collection. */
  readonly heapBytes: number;
  readonly openFiles: number;
  /** Since it was asked before. */
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
}

// Loaded into an instance by `--import`, with `--expose-gc`; answers messages of its parent with the state of the process.
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on("message", () => {
  const [loopP99Ms, loopMaxMs] = [delay.percentile(99) / 1e6, delay.max / 1e6];
  // The second frees what the first left to finalizers.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed } = process.memoryUsage();
  process.send?.({ heapBytes: heapUsed, openFiles: readdirSync("/dev/fd").length, loopP99Ms, loopMaxMs });
  delay.reset();
});
// Not a reason to live.
process.channel?.unref();
