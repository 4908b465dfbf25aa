import { addProcessPart, Counter, Registry } from "./library.ts";

const parts = [
  "eventLoopLag",
  "gc",
  "heapSizeAndUsed",
  "osMemoryHeap",
  "processOpenFileDescriptors",
  "processMaxFileDescriptors",
  "processStartTime",
  "version",
];

let registry: Registry | undefined;

/** The figures of this process, by the names that every Prometheus client gives them. Made once: they cost timers. */
export function processRegistry(): Registry {
  if (registry !== undefined) return registry;
  registry = new Registry() as Registry;
  for (const name of parts) addProcessPart(name, registry);
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Processor time of the process, user and system, in seconds.",
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  return registry;
}
