import { Histogram } from "./histogram.ts";
import { Gauge, type Registry } from "./library.ts";

/** What puts the checks of many calls into few statements. */
interface Checks {
  /** Calls that wait for their statement to be sent. */
  readonly waiting: number;
  /** Statements under way. */
  readonly inFlight: number;
}

/** Shows how checks share statements. */
export class CheckMetrics {
  readonly #registers: Registry[];
  readonly #pairs;

  constructor(registry: Registry) {
    this.#registers = [registry];
    this.#pairs = new Histogram({
      name: "privacy_control_check_batch_pairs",
      help: "Pairs of users that one statement of decisions asked about.",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000],
      registry,
    }).child({});
  }

  /** A statement is sent that asks about so many pairs. */
  sent(pairs: number): void {
    this.#pairs.observe(pairs);
  }

  /** Shows what waits and what is under way at each scrape. */
  watch(checks: Checks): void {
    const registers = this.#registers;
    new Gauge({
      name: "privacy_control_checks_waiting",
      help: "Calls whose checks wait for a statement to be free.",
      registers,
      collect() {
        this.set(checks.waiting);
      },
    });
    new Gauge({
      name: "privacy_control_check_statements_in_flight",
      help: "Statements of decisions under way.",
      registers,
      collect() {
        this.set(checks.inFlight);
      },
    });
  }
}
