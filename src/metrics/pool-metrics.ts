import { Histogram, type Observations } from "./histogram.ts";
import { Gauge, type Registry } from "./library.ts";

/** A pool of connections to the database, now. */
interface Pool {
  readonly name: string;
  /** The most connections. */
  readonly max: number;
  readonly open: number;
  readonly idle: number;
  /** Statements and transactions that wait for a connection. */
  readonly waiting: number;
}

/** Shows the use of the pools of connections to the database, and how long they are waited for. */
export class PoolMetrics {
  readonly #registers: Registry[];
  readonly #waits: Histogram<"pool">;
  readonly #waitsOf = new Map<string, Observations>();

  constructor(registry: Registry) {
    this.#registers = [registry];
    this.#waits = new Histogram({
      name: "privacy_control_database_wait_seconds",
      help: "How long a connection of the pool was waited for, in seconds.",
      buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2],
      registry,
    });
  }

  /** A connection of a pool was waited for. */
  readonly waited = (pool: string, seconds: number): void => {
    const waits = this.#waitsOf.get(pool) ?? this.#waits.child({ pool });
    this.#waitsOf.set(pool, waits);
    waits.observe(seconds);
  };

  /** Shows the pools at each scrape. */
  watch(pools: () => readonly Pool[]): void {
    const gauge = (name: string, help: string, read: (pool: Pool) => number) =>
      new Gauge({
        name: `privacy_control_database_${name}`,
        help,
        labelNames: ["pool"],
        registers: this.#registers,
        collect() {
          for (const pool of pools()) this.set({ pool: pool.name }, read(pool));
        },
      });
    gauge("connections_max", "The most connections of the pool.", ({ max }) => max);
    gauge("connections_open", "Connections of the pool that are open.", ({ open }) => open);
    gauge("connections_used", "Connections of the pool that are in use.", ({ open, idle }) => open - idle);
    gauge("waiting", "Statements and transactions that wait for a connection.", ({ waiting }) => waiting);
  }
}
