import { AggregatorRegistry } from "./library.ts";
import type { Metrics, Scrape } from "./metrics.ts";
import { processRegistry } from "./process-metrics.ts";

/** In a worker: tells the process that supervises it the metrics, whenever that asks. */
export function handOver({ registry }: Metrics): void {
  AggregatorRegistry.setRegistries([registry, processRegistry()]);
  // Listens from here on.
  new AggregatorRegistry();
}

/** In the process that supervises workers: makes what reads the metrics of all of them, added up. */
export function addUp(): () => Promise<Scrape> {
  const registry = new AggregatorRegistry();
  return async () => ({ contentType: registry.contentType, body: await registry.clusterMetrics() });
}
