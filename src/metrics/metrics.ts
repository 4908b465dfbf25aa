import { CallMetrics } from "./call-metrics.ts";
import { CheckMetrics } from "./check-metrics.ts";
import { Registry } from "./library.ts";
import { PoolMetrics } from "./pool-metrics.ts";
import { processRegistry } from "./process-metrics.ts";

/** A scrape, in Prometheus' text format. */
export interface Scrape {
  readonly contentType: string;
  readonly body: string;
}

/** The instruments of one service, told from below what happens, and read by `render`. */
export class Metrics {
  readonly registry = new Registry() as Registry;
  readonly calls = new CallMetrics(this.registry);
  readonly checks = new CheckMetrics(this.registry);
  readonly pools = new PoolMetrics(this.registry);

  // Made now: what it measures from here on is there at the first scrape.
  readonly #process = processRegistry();

  /** Reads every instrument. */
  readonly render = async (): Promise<Scrape> => {
    const texts = await Promise.all([this.registry.metrics(), this.#process.metrics()]);
    return { contentType: this.registry.contentType, body: texts.join("\n") };
  };
}
